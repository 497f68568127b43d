/** Requests of QuartermasterRegistry, checked, in the words of the registry. Each throws a `RequestError`. */
import type * as pb from '#gen/quartermaster/v1/registry_pb.js';
import type { CreateCluster } from '../notary/service.ts';
import { MAX_REASON_BYTES } from '../record/index.ts';
import type { Page } from './notary-requests.ts';
import { parsePageToken } from './page-token.ts';
import { isUuid, MAX_CHECKPOINT_BYTES, RequestFields } from './request-fields.ts';

const MAX_DISPLAY_NAME_BYTES = 256;
const DEFAULT_CLUSTERS_PAGE = 100;
const MAX_CLUSTERS_PAGE = 1_000;

export function parseCreateCluster(request: pb.CreateClusterRequest): CreateCluster {
  const check = new RequestFields();
  const cluster = {
    clusterId: check.optionalUuid('cluster_id', request.clusterId),
    displayName: check.text('display_name', request.displayName, MAX_DISPLAY_NAME_BYTES),
    requestId: check.optionalUuid('request_id', request.requestId),
    predecessorId: check.optionalUuid('predecessor_id', request.predecessorId),
  };
  check.done();
  return cluster;
}

export function parseListClusters(
  request: pb.ListClustersRequest,
): Page<{ readonly after: string | undefined; readonly limit: number }> {
  const check = new RequestFields();
  const limit = check.pageSize(request.pageSize, DEFAULT_CLUSTERS_PAGE, MAX_CLUSTERS_PAGE);
  check.done();
  const scope = ['ListClusters'];
  // Tokens can be forged, and the database answers with an error to what is no UUID.
  const after = parsePageToken(scope, request.pageToken, isUuid);
  return { query: { after, limit }, scope };
}

export function parseFreezeCluster(request: pb.FreezeClusterRequest) {
  const check = new RequestFields();
  const clusterId = check.uuid('cluster_id', request.clusterId);
  const reason = check.text('reason', request.reason, MAX_REASON_BYTES);
  check.done();
  return { clusterId, reason };
}

export function parseThawCluster(request: pb.ThawClusterRequest) {
  const check = new RequestFields();
  const clusterId = check.uuid('cluster_id', request.clusterId);
  const reason = check.text('reason', request.reason, MAX_REASON_BYTES);
  const confirmedCheckpoint = check.text(
    'confirmed_checkpoint',
    request.confirmedCheckpoint,
    MAX_CHECKPOINT_BYTES,
  );
  check.done();
  return { clusterId, reason, confirmedCheckpoint };
}
