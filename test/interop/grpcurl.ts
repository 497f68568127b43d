import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { DescMethod, JsonValue, MessageShape } from '@bufbuild/protobuf';
import { fromJson } from '@bufbuild/protobuf';
import { goBuild } from './go-build.ts';

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A status as grpcurl tells it: the details are decoded with what reflection says of their types. */
export interface Refusal {
  /** Of gRPC, from grpcurl's exit code. */
  readonly code: number;
  readonly message: string;
  readonly details: readonly ({ readonly '@type': string } & Readonly<Record<string, unknown>>)[];
}

/** The program grpcurl, which knows of this server what reflection tells it, and nothing else: it is given no proto file. */
export class Grpcurl {
  readonly #program: string;
  readonly #address: string;
  readonly #streams = new Set<ChildProcess>();

  private constructor(program: string, address: string) {
    this.#program = program;
    this.#address = address;
  }

  static async of(address: string): Promise<Grpcurl> {
    return new Grpcurl(join(await goBuild('go/tools', 'tool'), 'grpcurl'), address);
  }

  /** The services, or the methods of one. */
  async list(...service: readonly string[]): Promise<string[]> {
    return succeeded(await this.#run([], ['list', ...service]))
      .trimEnd()
      .split('\n');
  }

  async describe(symbol: string): Promise<string> {
    return succeeded(await this.#run([], ['describe', symbol]));
  }

  /** Calls a method and reads the answer strictly. */
  async call<Method extends DescMethod>(
    method: Method,
    request: object,
  ): Promise<MessageShape<Method['output']>> {
    const stdout = succeeded(await this.#run(['-d', JSON.stringify(request)], [pathOf(method)]));
    return fromJson<Method['output']>(method.output, JSON.parse(stdout) as JsonValue);
  }

  /** Calls a method that answers with an error. @throws where it does not */
  async refused(method: DescMethod, request: object): Promise<Refusal> {
    const { code, stdout, stderr } = await this.#run(
      ['-format-error', '-d', JSON.stringify(request)],
      [pathOf(method)],
    );
    if (code === null || code <= 64 || stdout !== '')
      throw new Error(`grpcurl ended with ${code}: ${stdout}${stderr}`);
    return { ...(JSON.parse(stderr) as Omit<Refusal, 'code'>), code: code - 64 };
  }

  /** What it tells people of a call that answers with an error. */
  async complaint(method: DescMethod, request: object): Promise<string> {
    return (await this.#run(['-d', JSON.stringify(request)], [pathOf(method)])).stderr;
  }

  /** Calls a method that answers with a stream, until `close`. */
  stream<Method extends DescMethod>(method: Method, request: object) {
    const child = this.#spawn(['-d', JSON.stringify(request)], [pathOf(method)]);
    this.#streams.add(child);
    const messages = readMessages(child);
    return {
      next: async () => {
        const { value, done } = await messages.next();
        if (done === true) throw new Error('the stream has ended');
        return fromJson<Method['output']>(method.output, value);
      },
    };
  }

  /** Ends the streams. */
  async close(): Promise<void> {
    for (const child of this.#streams) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
  }

  async #run(flags: readonly string[], argv: readonly string[]): Promise<Ended> {
    const child = this.#spawn(flags, argv);
    let stdout = '';
    let stderr = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stdout, stderr };
  }

  #spawn(flags: readonly string[], argv: readonly string[]): ChildProcess {
    return spawn(this.#program, ['-plaintext', ...flags, this.#address, ...argv], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }
}

/** Messages follow one another as indented JSON; only the brace that ends one stands at the beginning of a line. */
async function* readMessages(child: ChildProcess): AsyncGenerator<JsonValue, void> {
  let text = '';
  for await (const line of createInterface(child.stdout!)) {
    text += line;
    if (line !== '}' && line !== '{}') continue;
    yield JSON.parse(text) as JsonValue;
    text = '';
  }
}

/** As the command line has it. */
function pathOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

function succeeded({ code, stdout, stderr }: Ended): string {
  if (code !== 0) throw new Error(`grpcurl ended with ${code}: ${stderr}`);
  return stdout;
}
