import { createHash, hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Command } from 'commander';
import { NoteError, parseTlogProof, type TlogProof } from '../../note/index.ts';
import { type Expected, type Verdict, VerificationError, verifyReceipt } from '../../verify/index.ts';
import { hashLine } from '../anchoring/scan-lines.ts';
import { CliError } from '../error.ts';
import { openRegular } from '../open-regular.ts';
import { collectVkeys, JSON_OPTION, LINE_NUMBER, parseCount, parseLeaf, parseUuid } from '../options.ts';
import { report, type Terminal } from '../terminal.ts';
import { describeVerdict, verdictAsJson } from '../verdict.ts';

interface VerifyOptions {
  readonly receipt: string;
  readonly key: readonly string[];
  readonly lineText?: string;
  readonly file?: string;
  readonly line?: number;
  readonly leaf?: Uint8Array;
  readonly anchor?: string;
  readonly leafIndex?: number;
  readonly json?: true;
}

export function defineVerify(program: Command, terminal: Terminal): void {
  program
    .command('verify')
    .description('verify offline that an event was anchored, from a proof, a key and the event itself')
    .requiredOption('--receipt <file>', 'the proof (.tlog-proof)')
    .requiredOption(
      '--key <vkey>',
      'verifier key of the log, from somebody you trust; may be repeated',
      collectVkeys,
    )
    .option('--line-text <text>', 'the event is this text, as UTF-8 and without LF')
    .option('--file <file>', 'the event is the whole file; with --line one line of it')
    .option('--line <number>', 'with --file: which line, from 1, hashed without its LF', LINE_NUMBER)
    .option('--leaf <hex>', 'the event has this SHA-256 digest', parseLeaf)
    .option('--anchor <id>', 'the anchor it must be in', parseUuid)
    .option('--leaf-index <number>', 'its position in the anchor, from 0', parseCount(0, 0xffff_ffff))
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      `
Works without network and without a server, and believes nobody but the keys. Exactly one of --line-text, --file and --leaf
says what the event is. Exit code 0: verified, 1: refused, 2: wrong usage.

Examples:
  $ quartermaster verify --receipt line-3.tlog-proof --key "$(cat log.vkey)" --file audit.log --line 3
  $ quartermaster verify --receipt line-3.tlog-proof --key "$(cat log.vkey)" --line-text '{"user":"ada","action":"login"}'`,
    )
    .action(async (options: VerifyOptions) => {
      const leaf = await leafOf(options);
      const text = await readReceipt(options.receipt);
      const expected: Expected = {
        leaf,
        ...(options.anchor === undefined ? {} : { anchorId: options.anchor }),
        ...(options.leafIndex === undefined ? {} : { leafIndex: options.leafIndex }),
      };
      try {
        const verdict = judge(text, expected, options.key);
        report(
          terminal,
          options.json === true,
          verdictAsJson(verdict),
          `verified: ${describeVerdict(verdict)}`,
        );
      } catch (error) {
        throw refusal(error, options, terminal);
      }
    });
}

function judge(receipt: string, expected: Expected, vkeys: readonly string[]): Verdict {
  const proof: TlogProof = parseTlogProof(receipt);
  return verifyReceipt(proof, expected, { logKeys: vkeys });
}

function refusal(error: unknown, options: VerifyOptions, terminal: Terminal): unknown {
  if (!(error instanceof VerificationError) && !(error instanceof NoteError)) return error;
  if (error.code === 'BAD_POLICY' || error.code === 'BAD_EXPECTED') {
    return new CliError('USAGE', error.message, { cause: error });
  }
  if (options.json === true) {
    const refused = { verified: false, code: error.code, message: error.message };
    terminal.writeOut(`${JSON.stringify(refused)}\n`);
  }
  return new CliError('REFUSED', `NOT verified (${error.code}): ${error.message}`, { cause: error });
}

async function leafOf({ lineText, file, line, leaf }: VerifyOptions): Promise<Uint8Array> {
  const given = [lineText, file, leaf].filter((value) => value !== undefined);
  if (given.length !== 1) throw new CliError('USAGE', 'give exactly one of --line-text, --file and --leaf');
  if (line !== undefined && file === undefined) throw new CliError('USAGE', '--line goes with --file');
  if (leaf !== undefined) return leaf;
  if (lineText !== undefined) return hash('sha256', lineText, 'buffer');
  return line === undefined ? await hashFile(file ?? '') : await hashLineOf(file ?? '', line);
}

async function hashFile(path: string): Promise<Uint8Array> {
  const { file } = await openRegular(path);
  const digest = createHash('sha256');
  // The stream closes the file at its end and on failure.
  for await (const chunk of file.createReadStream()) digest.update(chunk as Buffer);
  return digest.digest();
}

async function hashLineOf(path: string, line: number): Promise<Uint8Array> {
  const { file } = await openRegular(path);
  try {
    const leaf = await hashLine(file, line);
    if (leaf === undefined) throw new CliError('REFUSED', `${path} has no line ${line}`);
    return leaf;
  } finally {
    await file.close();
  }
}

/** More than any proof has; what is longer is refused for its length. */
const MAX_RECEIPT_BYTES = 8 * 1024 * 1024;

/** From a file or a pipe, of which no more is read than a proof can have. */
async function readReceipt(path: string): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(path, { end: MAX_RECEIPT_BYTES }))
      chunks.push(chunk as Buffer);
  } catch (error) {
    throw new CliError('USAGE', `cannot read the receipt ${path}: ${String(error)}`, { cause: error });
  }
  // What is not UTF-8 becomes characters that no proof holds, and is refused as no proof.
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(chunks));
}
