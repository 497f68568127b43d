import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type AnchoringResult, anchorFile } from '../anchoring/anchor-file.ts';
import { defaultManifestPath } from '../anchoring/manifest-file.ts';
import { progressBar } from '../anchoring/progress.ts';
import { connected } from '../client/connect.ts';
import { notaryOver } from '../client/notary-over-grpc.ts';
import { LARGEST_LEAF_COUNT, SETTINGS_OF } from '../config/settings.ts';
import { lockFile } from '../file-lock.ts';
import { openRegular } from '../open-regular.ts';
import {
  addSettings,
  clientConfigurationOf,
  collectVkeys,
  JSON_OPTION,
  parseCount,
  parseUuid,
} from '../options.ts';
import { notice, report, type Terminal } from '../terminal.ts';

/** 256 KiB of leaves: the most that the notary commits together with other anchors. */
const DEFAULT_BATCH_LINES = 8_192;

interface AnchorOptions {
  readonly cluster: string;
  readonly lines: string;
  readonly manifest?: string;
  readonly batch: number;
  readonly key?: readonly string[];
  readonly json?: true;
}

export function defineAnchor(program: Command, terminal: Terminal): void {
  const command = program
    .command('anchor')
    .description('anchor every line of a file, and go on where the last run stopped')
    .requiredOption('--cluster <id>', 'UUID of the cluster', parseUuid)
    .requiredOption('--lines <file>', 'the file')
    .option('--manifest <file>', 'where to keep the record of it; default: <file>.manifest.jsonl')
    .option(
      '--batch <lines>',
      'most lines of one anchor',
      parseCount(1, LARGEST_LEAF_COUNT),
      DEFAULT_BATCH_LINES,
    )
    .option('--key <vkey>', 'verifier key of the log; may be repeated', collectVkeys)
    .option(...JSON_OPTION);
  addSettings(command, SETTINGS_OF.client)
    .addHelpText('after', HELP)
    .action(async (options: AnchorOptions) => {
      const configuration = clientConfigurationOf(command, terminal);
      const manifestPath = options.manifest ?? defaultManifestPath(options.lines);
      const { file, size } = await openRegular(options.lines);
      try {
        const unlock = lockFile(`${resolve(manifestPath)}.lock`, `the manifest ${manifestPath}`);
        const bar = progressBar(
          size,
          terminal.isWatched ? (text) => terminal.writeError(text) : undefined,
          () => performance.now(),
        );
        try {
          const say = (reason: string): void => {
            bar.clear();
            notice(terminal, reason);
          };
          const result = await connected(configuration, say, (connection) =>
            anchorFile(
              {
                clusterId: options.cluster,
                fileName: options.lines,
                source: file,
                manifestPath,
                batchLines: options.batch,
                pinnedKeys: options.key ?? [],
                onProgress: ({ endOffset, lines }) => bar.update(endOffset, lines),
              },
              notaryOver(connection),
            ),
          );
          bar.clear();
          showResult(terminal, options, manifestPath, result);
        } finally {
          bar.clear();
          unlock();
        }
      } finally {
        await file.close();
      }
    });
}

function showResult(
  terminal: Terminal,
  options: AnchorOptions,
  manifestPath: string,
  { lines, batches, replayed, linesInAll, unterminatedLine, checkpoint, keys }: AnchoringResult,
): void {
  if (unterminatedLine !== undefined) {
    notice(
      terminal,
      `note: line ${unterminatedLine} has no LF and was anchored as it is; should it grow, it will be anchored once more`,
    );
  }
  if (!keys.pinned) {
    notice(
      terminal,
      'note: the key was taken from the notary at the first run; --key pins one that you trust',
    );
  }
  const done =
    lines === 0
      ? `nothing new: all ${linesInAll} lines are anchored`
      : `anchored ${lines} lines in ${batches === 1 ? 'one anchor' : `${batches} anchors`}, every answer verified; ${linesInAll} lines in all`;
  report(
    terminal,
    options.json === true,
    {
      cluster_id: options.cluster,
      manifest: manifestPath,
      lines,
      anchors: batches,
      replayed,
      lines_in_all: linesInAll,
      key_pinned: keys.pinned,
      checkpoint: checkpoint?.checkpoint ?? null,
    },
    `${done} (${manifestPath})`,
  );
}

const HELP = `
A leaf is SHA-256 of a line without its LF; any bytes may occur, a CR before the LF belongs to the line, lines count from 1.
Leave the lines as they are: what is appended later is anchored by the next run, and a line that has changed since it was
anchored is reported and nothing is sent. A last line without LF is anchored as it is; if it has grown by the next
run it is anchored once more, whole.

Only hashes leave this machine. They are not salted: whoever sees a hash and can guess the whole line can tell that the
guess is right, and a receipt shows the hash of a neighbouring line. Lines that hold a random id or a time are hard to
guess; short ones such as "login failed" are not.

The manifest keeps the newest checkpoint and each line's leaf, anchor and position. It survives interruption at any point:
a batch is written down before it is sent, and sent again under the same request id. Each answer is verified: the root of
the lines, the record, its path into the log, the signature, and that the log only grew since the last checkpoint. Without
--key the first run takes the log's key from the notary and keeps it in the manifest (trust on first use).

Examples:
  $ quartermaster anchor --cluster 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d --lines audit.log
  $ quartermaster anchor --cluster 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d --lines audit.log --key "$(cat log.vkey)" --json`;
