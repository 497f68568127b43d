import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import { type Cluster, ClusterState } from '#gen/quartermaster/v1/registry_pb.js';
import { BRIEFLY } from '../client/call.ts';
import { type Connection, connected } from '../client/connect.ts';
import { SETTINGS_OF } from '../config/settings.ts';
import { CliError } from '../error.ts';
import { addSettings, clientConfigurationOf, JSON_OPTION, parseUuid } from '../options.ts';
import { notice, printable, report, type Terminal } from '../terminal.ts';

export function defineCluster(program: Command, terminal: Terminal): void {
  const cluster = program.command('cluster').description('create, list, freeze and thaw clusters');
  defineCreate(cluster, terminal);
  defineList(cluster, terminal);
  defineFreeze(cluster, terminal);
  defineThaw(cluster, terminal);
}

/** Every one of these commands talks to a server and can answer in JSON. */
function onServer(command: Command, terminal: Terminal) {
  addSettings(command.option(...JSON_OPTION), SETTINGS_OF.client);
  return <T>(work: (connection: Connection) => Promise<T>): Promise<T> =>
    connected(clientConfigurationOf(command, terminal), (reason) => notice(terminal, reason), work);
}

interface CreateOptions {
  readonly name: string;
  readonly id?: string;
  readonly requestId?: string;
  readonly predecessor?: string;
  readonly json?: true;
}

function defineCreate(parent: Command, terminal: Terminal): void {
  const command = parent
    .command('create')
    .description('create a cluster: a log of its own, with its own origin and keys')
    .requiredOption('--name <text>', 'display name')
    .option('--id <uuid>', 'its id; chosen by the notary if not given', parseUuid)
    .option(
      '--request-id <uuid>',
      'makes it safe to run this again: the same id makes one cluster',
      parseUuid,
    )
    .option(
      '--predecessor <uuid>',
      'the sealed cluster that this one succeeds; one that is recovering is given up and sealed by this',
      parseUuid,
    );
  const withConnection = onServer(command, terminal);
  command
    .addHelpText(
      'after',
      `
Examples:
  $ quartermaster cluster create --name production
  $ quartermaster cluster create --name staging --request-id 7d2c1f4e-9b1a-4e4f-8a6b-7c8d0198c7a0 --json
  $ quartermaster cluster create --name production --predecessor 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d`,
    )
    .action(async (options: CreateOptions) => {
      // One id for all tries of this call, so that a lost answer makes no second cluster.
      const requestId = options.requestId ?? randomUUID();
      const request = {
        displayName: options.name,
        clusterId: options.id ?? '',
        requestId,
        predecessorId: options.predecessor ?? '',
      };
      const { cluster } = await withConnection((connection) =>
        connection.call((call) => connection.registry.createCluster(request, call), BRIEFLY),
      );
      showCluster(terminal, options.json === true, cluster);
    });
}

function defineList(parent: Command, terminal: Terminal): void {
  const command = parent.command('list').description('list all clusters');
  const withConnection = onServer(command, terminal);
  command
    .addHelpText('after', '\nWith --json one cluster a line.\n\nExample:\n  $ quartermaster cluster list')
    .action(async ({ json }: { readonly json?: true }) => {
      await withConnection(async (connection) => {
        let pageToken = '';
        do {
          const token = pageToken;
          const page = await connection.call(
            (options) => connection.registry.listClusters({ pageSize: 100, pageToken: token }, options),
            BRIEFLY,
          );
          for (const cluster of page.clusters) {
            report(terminal, json === true, describe(cluster), oneLine(cluster));
          }
          pageToken = page.nextPageToken;
        } while (pageToken !== '');
      });
    });
}

interface FreezeOptions {
  readonly cluster: string;
  readonly reason: string;
  readonly json?: true;
}

function defineFreeze(parent: Command, terminal: Terminal): void {
  const command = parent
    .command('freeze')
    .description('stop appends to a cluster; reads go on')
    .requiredOption('--cluster <id>', 'UUID of the cluster', parseUuid)
    .requiredOption('--reason <text>', 'why; shown to callers');
  const withConnection = onServer(command, terminal);
  command
    .addHelpText(
      'after',
      `
When it returns no append is in flight any more.

Example:
  $ quartermaster cluster freeze --cluster 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d --reason "moving to another region"`,
    )
    .action(async ({ cluster: clusterId, reason, json }: FreezeOptions) => {
      const { cluster } = await withConnection((connection) =>
        connection.call((options) => connection.registry.freezeCluster({ clusterId, reason }, options)),
      );
      showCluster(terminal, json === true, cluster);
    });
}

interface ThawOptions extends FreezeOptions {
  readonly checkpoint?: string;
}

function defineThaw(parent: Command, terminal: Terminal): void {
  const command = parent
    .command('thaw')
    .description('take a frozen or recovering cluster back into service')
    .requiredOption('--cluster <id>', 'UUID of the cluster', parseUuid)
    .requiredOption('--reason <text>', 'why')
    .option(
      '--checkpoint <file or text>',
      'to leave RECOVERING: the newest checkpoint known outside the database, a file or the note itself',
    );
  const withConnection = onServer(command, terminal);
  command
    .addHelpText(
      'after',
      `
A cluster is RECOVERING when its database may have lost acknowledged anchors. It is thawed only if the stored log contains
the newest checkpoint that anybody kept: gateways, verifiers, manifests of "quartermaster anchor". One that was FROZEN before is
FROZEN again, and takes a second thaw.

Examples:
  $ quartermaster cluster thaw --cluster 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d --reason "migration is over"
  $ quartermaster cluster thaw --cluster 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d --reason "restored, nothing lost" --checkpoint newest.checkpoint`,
    )
    .action(async ({ cluster: clusterId, reason, checkpoint, json }: ThawOptions) => {
      const confirmedCheckpoint = checkpoint === undefined ? '' : readCheckpoint(checkpoint);
      const { cluster } = await withConnection((connection) =>
        connection.call((options) =>
          connection.registry.thawCluster({ clusterId, reason, confirmedCheckpoint }, options),
        ),
      );
      showCluster(terminal, json === true, cluster);
    });
}

/** A checkpoint has several lines, a file's name has one. */
function readCheckpoint(fileOrText: string): string {
  if (fileOrText.includes('\n')) return fileOrText;
  try {
    return readFileSync(fileOrText, 'utf8');
  } catch (error) {
    throw new CliError('USAGE', `--checkpoint: ${JSON.stringify(fileOrText)} cannot be read`, {
      cause: error,
    });
  }
}

function showCluster(terminal: Terminal, asJson: boolean, cluster: Cluster | undefined): void {
  if (cluster === undefined) throw new CliError('FAILED', 'the notary answered without a cluster');
  const shown = describe(cluster);
  const lines = Object.entries(shown).map(([name, value]) => `${name.padEnd(15)} ${printable(value)}`);
  report(terminal, asJson, shown, lines.join('\n'));
}

function describe(cluster: Cluster): Readonly<Record<string, string>> {
  const all = {
    cluster_id: cluster.clusterId,
    display_name: cluster.displayName,
    origin: cluster.origin,
    state: stateOf(cluster),
    state_reason: cluster.stateReason,
    create_time: cluster.createTime === undefined ? '' : timestampDate(cluster.createTime).toISOString(),
    predecessor_id: cluster.predecessorId,
    successor_id: cluster.successorId,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
}

function oneLine(cluster: Cluster): string {
  return `${printable(cluster.clusterId)}  ${stateOf(cluster).padEnd(10)}  ${printable(cluster.displayName)}`;
}

function stateOf(cluster: Cluster): string {
  return (ClusterState[cluster.state] ?? 'unknown').toLowerCase();
}
