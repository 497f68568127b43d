import { status } from '@grpc/grpc-js';
import type { Command } from 'commander';
import { BRIEFLY, explainFailure, retryDelayMs, statusOf } from '../client/call.ts';
import { type Connection, connected, credentialsOf } from '../client/connect.ts';
import { LARGEST_LEAF_COUNT, SETTINGS_OF } from '../config/settings.ts';
import { CliError } from '../error.ts';
import { loadAnchors } from '../load/anchor-load.ts';
import type { Endpoint } from '../load/encoded-call.ts';
import type { LoadEvents, Measured, Pacing } from '../load/keep-in-flight.ts';
import { loadProofs } from '../load/proof-load.ts';
import { caveats, measuredAsJson, measuredAsTable } from '../load/table.ts';
import { addSettings, clientConfigurationOf, JSON_OPTION, parseCount, parseUuid } from '../options.ts';
import { notice, report, type Terminal } from '../terminal.ts';

interface BenchOptions {
  readonly cluster?: readonly string[];
  readonly newClusters?: number;
  readonly writeForever?: true;
  readonly leaves: number;
  readonly packed?: true;
  readonly proofs?: number;
  readonly inFlight: number;
  readonly seconds: number;
  readonly warmUp: number;
  readonly json?: true;
}

const MAX_NEW_CLUSTERS = 1_000;
/** BatchGetInclusionProofs takes no more. */
const MAX_PROOFS = 1_000;
const MAX_SECONDS = 86_400;

export function defineBench(program: Command, terminal: Terminal): void {
  const command = program
    .command('bench')
    .description('measure the speed of a running notary, from here')
    .option('--cluster <id>', 'UUID of a cluster; may be repeated, callers are spread over all', collectUuids)
    .option(
      '--new-clusters <count>',
      'make so many clusters for it, instead of --cluster',
      parseCount(1, MAX_NEW_CLUSTERS),
    )
    .option('--write-forever', 'with --cluster: yes, random anchors may go into that log, for ever')
    .option('--leaves <count>', 'leaves a call', parseCount(1, LARGEST_LEAF_COUNT), 1)
    .option('--packed', 'send packed_leaves rather than leaves')
    .option(
      '--proofs <count>',
      'ask for so many inclusion proofs a call instead of anchoring; writes nothing',
      parseCount(1, MAX_PROOFS),
    )
    .option('--in-flight <count>', 'calls in flight at any moment', parseCount(1, 10_000), 32)
    .option('--seconds <count>', 'how long to measure', parseCount(1, MAX_SECONDS), 10)
    .option('--warm-up <seconds>', 'how long to call before it is measured', parseCount(0, MAX_SECONDS), 2)
    .option(...JSON_OPTION);
  addSettings(command, SETTINGS_OF.client)
    .addHelpText('after', HELP)
    .action(async (options: BenchOptions) => {
      const configuration = clientConfigurationOf(command, terminal);
      refuseNonsense(options);
      await connected(
        configuration,
        (reason) => notice(terminal, reason),
        async (connection) => {
          const clusterIds = await clustersOf(connection, options);
          if (options.proofs === undefined) warn(terminal, clusterIds);
          const endpoint = { address: connection.endpoint, credentials: credentialsOf(configuration) };
          const measured = await run(endpoint, clusterIds, options);
          show(terminal, options, connection.endpoint, clusterIds, measured);
        },
      );
    });
}

const HELP = `
Keeps calls in flight and prints how many a second were answered, and how soon. Every anchor is a real one: random leaves that
stay in the log for ever. So it wants a cluster made for it (--new-clusters), or --write-forever. With --proofs it reads the
anchors that are there, and writes nothing. Run it where the gateways are: the network is a part of what they see.
Exit code 0: measured, 1: nothing was answered, or a call was refused.

Examples:
  $ quartermaster bench --new-clusters 1
  $ quartermaster bench --new-clusters 32 --in-flight 256 --seconds 60 --json
  $ quartermaster bench --cluster 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d --write-forever --leaves 1000 --packed
  $ quartermaster bench --cluster 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d --proofs 1`;

function collectUuids(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, parseUuid(text)];
}

function refuseNonsense({ cluster, newClusters, writeForever, proofs, packed }: BenchOptions): void {
  if ((cluster === undefined) === (newClusters === undefined)) {
    throw new CliError('USAGE', 'give either --cluster, or --new-clusters');
  }
  if (proofs !== undefined) {
    if (cluster === undefined) {
      throw new CliError('USAGE', '--proofs needs anchors: name their cluster with --cluster');
    }
    if (packed === true) throw new CliError('USAGE', '--packed is about anchoring, --proofs does not anchor');
    return;
  }
  if (cluster !== undefined && writeForever !== true) {
    throw new CliError(
      'USAGE',
      'this writes random anchors into the log for ever; say --write-forever, or let it make a cluster of its own with --new-clusters 1',
    );
  }
}

/** Those that were named, once it is clear that they can take the load, or new ones. */
async function clustersOf(connection: Connection, options: BenchOptions): Promise<readonly string[]> {
  const clusterIds = options.cluster ?? (await makeClusters(connection, options.newClusters ?? 1));
  for (const clusterId of clusterIds) {
    const log = await connection.call((call) => connection.notary.getLog({ clusterId }, call), BRIEFLY);
    if (options.proofs === undefined && options.leaves > log.maxLeafCount) {
      throw new CliError(
        'USAGE',
        `--leaves: the notary takes at most ${log.maxLeafCount} in one call, not ${options.leaves}`,
      );
    }
  }
  return clusterIds;
}

async function makeClusters(connection: Connection, count: number): Promise<readonly string[]> {
  const clusterIds: string[] = [];
  for (let i = 0; i < count; i++) {
    const { cluster } = await connection.call((call) =>
      connection.registry.createCluster({ displayName: 'quartermaster bench' }, call),
    );
    if (cluster === undefined) throw new CliError('FAILED', 'the notary answered without a cluster');
    clusterIds.push(cluster.clusterId);
  }
  return clusterIds;
}

function warn(terminal: Terminal, clusterIds: readonly string[]): void {
  const [first] = clusterIds;
  const others = clusterIds.length === 1 ? '' : ` and ${clusterIds.length - 1} others`;
  notice(terminal, `warning: random anchors go into the log of cluster ${first}${others}, for ever`);
}

async function run(
  endpoint: Endpoint,
  clusterIds: readonly string[],
  options: BenchOptions,
): Promise<Measured> {
  let lastFailure: unknown;
  const events: LoadEvents = {
    onFailure(error) {
      const retryAfterMs = retryDelayMs(error);
      if (retryAfterMs === undefined) throw explainFailure(error, endpoint.address);
      lastFailure = error;
      return { status: status[statusOf(error) ?? status.UNKNOWN], retryAfterMs };
    },
  };
  const pacing: Pacing = {
    inFlight: options.inFlight,
    warmUpMs: options.warmUp * 1000,
    measureMs: options.seconds * 1000,
  };
  const measured =
    options.proofs === undefined
      ? await loadAnchors(
          [endpoint],
          { clusterIds, leavesPerCall: options.leaves, packed: options.packed === true },
          pacing,
          events,
        )
      : await loadProofs([endpoint], { clusterIds, proofsPerCall: options.proofs }, pacing, events);
  if (measured.calls === 0) {
    throw lastFailure === undefined
      ? new CliError('FAILED', `no call was answered within ${options.seconds} s: measure for longer`)
      : explainFailure(lastFailure, endpoint.address);
  }
  return measured;
}

function show(
  terminal: Terminal,
  options: BenchOptions,
  endpoint: string,
  clusterIds: readonly string[],
  measured: Measured,
): void {
  const { leaves, proofs, inFlight } = options;
  const counted =
    proofs === undefined
      ? ({ unit: 'leaves', perCall: leaves } as const)
      : ({ unit: 'proofs', perCall: proofs } as const);
  const what = `${counted.perCall} ${counted.unit} a call${options.packed === true ? ', packed' : ''}`;
  const clusters = clusterIds.length === 1 ? '1 cluster' : `${clusterIds.length} clusters`;
  report(
    terminal,
    options.json === true,
    {
      endpoint,
      clusters: clusterIds,
      in_flight: inFlight,
      [`${counted.unit}_per_call`]: counted.perCall,
      packed: options.packed === true,
      ...measuredAsJson(measured, counted),
    },
    `${endpoint}: ${what}, ${inFlight} in flight, ${clusters}, ${measured.seconds} s\n\n${measuredAsTable(measured, counted)}`,
  );
  for (const caveat of caveats(measured)) notice(terminal, `note: ${caveat}`);
}
