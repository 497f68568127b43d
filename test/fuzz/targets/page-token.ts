import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { ListAnchorsRequestSchema } from '#gen/quartermaster/v1/notary_pb.js';
import { ListClustersRequestSchema } from '#gen/quartermaster/v1/registry_pb.js';
import { RequestError } from '../../../src/server/error.ts';
import { parseListAnchors } from '../../../src/server/notary-requests.ts';
import { formatPageToken, isIndex, parsePageToken } from '../../../src/server/page-token.ts';
import { parseListClusters } from '../../../src/server/registry-requests.ts';
import { damagedText } from '../mutation.ts';
import { asText, must, parsed, type Target } from '../target.ts';

const CLUSTER = '6f9619ff-8b86-4011-b42d-00c04fc964ff';
const SCOPE = ['ListAnchors', CLUSTER, null, null];
const CLUSTERS = ['ListClusters'];
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const POSITIONS = [
  '0',
  '100',
  '9007199254740991',
  '9007199254740992',
  '007',
  '-1',
  '1e3',
  CLUSTER,
  '-'.repeat(36),
  'a'.repeat(36),
  '0'.repeat(36),
];
/** The digest is no secret: whoever wants can make a token for any position. */
const forgeable = fc.oneof(fc.constantFrom(...POSITIONS), damagedText(POSITIONS, ['-', 'f']));

/**
 * A token that is accepted was made for these parameters, has one spelling, and leads to a position that the storage can be
 * asked for: an index that JavaScript holds, a UUID that Postgres reads.
 *
 * Seen red: without the comparison with the token's own spelling; with any 36 characters of `[0-9a-f-]` taken for a UUID,
 * which Postgres answered with an error and the server with INTERNAL.
 */
export const pageToken: Target = {
  name: 'page-token',
  share: 8,
  open: () => ({
    inputs: fc.oneof(
      forgeable.map((position) => formatPageToken(SCOPE, position)),
      forgeable.map((position) => formatPageToken(CLUSTERS, position)),
      damagedText(
        [formatPageToken(SCOPE, '100'), formatPageToken(CLUSTERS, CLUSTER), formatPageToken(['x'], '100')],
        ['=', '_', '-'],
      ),
    ),
    check(input) {
      const token = asText(input);
      if (token === '') return false;
      const position = parsed(() => parsePageToken(SCOPE, token, isIndex), RequestError);
      if (position !== undefined)
        must(formatPageToken(SCOPE, position) === token, 'accepted another spelling');
      const anchors = parsed(
        () => parseListAnchors(create(ListAnchorsRequestSchema, { clusterId: CLUSTER, pageToken: token })),
        RequestError,
      );
      must(
        anchors === undefined || Number.isSafeInteger(anchors.query.fromLogIndex),
        'a position that is no index',
      );
      const clusters = parsed(
        () => parseListClusters(create(ListClustersRequestSchema, { pageToken: token })),
        RequestError,
      );
      must(clusters === undefined || UUID.test(clusters.query.after ?? ''), 'a position that is no UUID');
      return (anchors ?? clusters) !== undefined;
    },
    growth: [
      {
        name: 'a long page token',
        from: 200_000,
        prepare: (n) => () => void parsed(() => parsePageToken(SCOPE, 'A'.repeat(n), isIndex), RequestError),
      },
    ],
  }),
};
