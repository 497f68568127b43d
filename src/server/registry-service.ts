/** QuartermasterRegistry: parse at the edge, call the registry, translate the answer. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import * as pb from '#gen/quartermaster/v1/registry_pb.js';
import type { Registry } from '../notary/service.ts';
import type { Cluster, ClusterState } from '../notary/storage.ts';
import type { CallContext } from './call-context.ts';
import { unary } from './handler.ts';
import { parseClusterName } from './notary-requests.ts';
import { formatPageToken } from './page-token.ts';
import * as parse from './registry-requests.ts';

/** One handler for each method of the service, by its name in TypeScript. */
export function registryService(registry: Registry): UntypedServiceImplementation {
  return {
    createCluster: unary(async (request: pb.CreateClusterRequest, context) => {
      const wanted = parse.parseCreateCluster(request);
      context.clusterId = wanted.clusterId;
      const cluster = await registry.createCluster(wanted);
      context.clusterId = cluster.clusterId;
      return create(pb.CreateClusterResponseSchema, { cluster: clusterMessage(cluster) });
    }),
    getCluster: unary(async (request: pb.GetClusterRequest, context) => {
      const clusterId = named(parseClusterName(request), context);
      const cluster = await registry.getCluster(clusterId);
      return create(pb.GetClusterResponseSchema, { cluster: clusterMessage(cluster) });
    }),
    listClusters: unary((request: pb.ListClustersRequest) => listClusters(registry, request)),
    freezeCluster: unary(async (request: pb.FreezeClusterRequest, context) => {
      const { clusterId, reason } = parse.parseFreezeCluster(request);
      const cluster = await registry.freezeCluster(named(clusterId, context), reason);
      return create(pb.FreezeClusterResponseSchema, { cluster: clusterMessage(cluster) });
    }),
    thawCluster: unary(async (request: pb.ThawClusterRequest, context) => {
      const { clusterId, reason, confirmedCheckpoint } = parse.parseThawCluster(request);
      const cluster = await registry.thawCluster(named(clusterId, context), reason, confirmedCheckpoint);
      return create(pb.ThawClusterResponseSchema, { cluster: clusterMessage(cluster) });
    }),
  };
}

async function listClusters(registry: Registry, request: pb.ListClustersRequest) {
  const { query, scope } = parse.parseListClusters(request);
  // One more than asked for tells whether there is another page.
  const found = await registry.listClusters(query.after, query.limit + 1);
  const clusters = found.slice(0, query.limit);
  const last = found.length > query.limit ? clusters.at(-1) : undefined;
  return create(pb.ListClustersResponseSchema, {
    clusters: clusters.map(clusterMessage),
    nextPageToken: last === undefined ? '' : formatPageToken(scope, last.clusterId),
  });
}

/** Puts the cluster into the log line. */
function named(clusterId: string, context: CallContext): string {
  context.clusterId = clusterId;
  return clusterId;
}

const STATES: Readonly<Record<ClusterState, pb.ClusterState>> = {
  active: pb.ClusterState.ACTIVE,
  frozen: pb.ClusterState.FROZEN,
  recovering: pb.ClusterState.RECOVERING,
  sealed: pb.ClusterState.SEALED,
};

function clusterMessage(cluster: Cluster): MessageInitShape<typeof pb.ClusterSchema> {
  return {
    clusterId: cluster.clusterId,
    displayName: cluster.displayName,
    origin: cluster.origin,
    state: STATES[cluster.state],
    stateReason: cluster.stateReason,
    createTime: timestampFromMs(cluster.createdAtMs),
    predecessorId: cluster.predecessorId ?? '',
    successorId: cluster.successorId ?? '',
  };
}
