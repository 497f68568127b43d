import type { Command } from 'commander';
import { formatTlogProof, type TlogProof } from '../../note/index.ts';
import { type Verdict, VerificationError, verifyReceipt } from '../../verify/index.ts';
import { type FoundLine, findLine } from '../anchoring/find-line.ts';
import { BRIEFLY } from '../client/call.ts';
import { type Connection, connected } from '../client/connect.ts';
import { SETTINGS_OF } from '../config/settings.ts';
import { CliError } from '../error.ts';
import { openRegularIfThere } from '../open-regular.ts';
import { addSettings, clientConfigurationOf, collectVkeys, JSON_OPTION, LINE_NUMBER } from '../options.ts';
import { notice, report, type Terminal } from '../terminal.ts';
import { describeVerdict, verdictAsJson } from '../verdict.ts';
import { writeWhole } from '../write-file.ts';

interface ProveOptions {
  readonly manifest: string;
  readonly line: number;
  readonly out: string;
  readonly key?: readonly string[];
  readonly json?: true;
}

export function defineProve(program: Command, terminal: Terminal): void {
  const command = program
    .command('prove')
    .description('fetch the proof of one anchored line, verify it, and write it to a file')
    .requiredOption('--manifest <file>', 'what "quartermaster anchor" has written')
    .requiredOption('--line <number>', 'which line, from 1', LINE_NUMBER)
    .requiredOption('--out <file>', 'where to write the proof (.tlog-proof)')
    .option(
      '--key <vkey>',
      "verifier key of the log instead of the manifest's; may be repeated",
      collectVkeys,
    )
    .option(...JSON_OPTION);
  addSettings(command, SETTINGS_OF.client)
    .addHelpText(
      'after',
      `
The proof is one text file (c2sp.org/tlog-proof) and all that a verifier needs besides the line and the log's key. It is
verified before it is written. An older proof under that name is replaced, any other file is not.

Example:
  $ quartermaster prove --manifest audit.log.manifest.jsonl --line 3 --out line-3.tlog-proof`,
    )
    .action(async (options: ProveOptions) => {
      const configuration = clientConfigurationOf(command, terminal);
      await refuseOtherFile(options.out);
      const found = await findLine(options.manifest, options.line);
      const receipt = await connected(
        configuration,
        (reason) => notice(terminal, reason),
        (connection) => fetchReceipt(connection, found),
      );
      const verdict = verifyFetched(receipt, found, options.key ?? found.state.keys.vkeys);
      await writeWhole(options.out, formatTlogProof(receipt));
      report(
        terminal,
        options.json === true,
        { proof: options.out, line: options.line, ...verdictAsJson(verdict) },
        `wrote ${options.out}: line ${options.line} is ${describeVerdict(verdict)}`,
      );
    });
}

async function fetchReceipt(connection: Connection, { state, line }: FoundLine): Promise<TlogProof> {
  const request = {
    anchorId: line.anchor_id,
    leafIndex: line.leaf_index,
    clusterId: state.header.cluster_id,
  };
  const { receipt } = await connection.call(
    (options) => connection.notary.getInclusionProof(request, options),
    BRIEFLY,
  );
  if (receipt === undefined) throw new CliError('FAILED', 'the notary answered without a receipt');
  return { ...receipt, logIndex: Number(receipt.logIndex) };
}

function verifyFetched(receipt: TlogProof, { line }: FoundLine, vkeys: readonly string[]): Verdict {
  const expected = {
    leaf: new Uint8Array(Buffer.from(line.leaf, 'hex')),
    anchorId: line.anchor_id,
    leafIndex: line.leaf_index,
  };
  try {
    return verifyReceipt(receipt, expected, { logKeys: vkeys });
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    throw new CliError(
      'REFUSED',
      `the notary's proof does not verify, nothing was written (${error.code}): ${error.message}`,
      { cause: error },
    );
  }
}

const PROOF_LINE = 'c2sp.org/tlog-proof@v1\n';

/** `--out audit.log` by mistake must not cost the log, nor `--out /dev/null` the device: the proof takes the place of the name. */
async function refuseOtherFile(path: string): Promise<void> {
  const opened = await openRegularIfThere(path, path);
  if (opened === undefined) return;
  const { file, size } = opened;
  try {
    const { buffer } = await file.read(Buffer.alloc(PROOF_LINE.length), 0, PROOF_LINE.length, 0);
    if (size === 0 || buffer.toString('latin1') === PROOF_LINE) return;
  } finally {
    await file.close();
  }
  throw new CliError('USAGE', `${path} exists and is no proof; it is not overwritten`);
}
