export interface DevServer {
  /** host:port */
  readonly address: string;
  readonly clusterId: string;
  readonly vkey: string;
  readonly sampleLog: string;
}

const DEFAULT_ADDRESS = '127.0.0.1:50051';

/** Three commands that work as they stand, in the directory where `dev` was started. */
export function nextSteps({ address, clusterId, vkey, sampleLog }: DevServer): readonly string[] {
  const endpoint = address === DEFAULT_ADDRESS ? '' : ` --endpoint ${address}`;
  const log = quoted(sampleLog);
  const proof = quoted(`${sampleLog}.line-2.tlog-proof`);
  return [
    `npx quartermaster anchor --cluster ${clusterId} --lines ${log}${endpoint}`,
    `npx quartermaster prove --manifest ${quoted(`${sampleLog}.manifest.jsonl`)} --line 2 --out ${proof}${endpoint}`,
    `npx quartermaster verify --receipt ${proof} --key '${vkey}' --file ${log} --line 2`,
  ];
}

/** For a POSIX shell; left alone where no quotes are needed. */
function quoted(text: string): string {
  return /^[\w./+:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
