import type { AnchoringNotary } from '../anchoring/anchor-file.ts';
import { BRIEFLY, PATIENTLY } from './call.ts';
import type { Connection } from './connect.ts';

/** A big batch over a slow network, through a full queue; the retry finds what became of it. */
const ANCHOR_TIMEOUT_MS = 120_000;

/** What anchoring needs, over a connection. Every call is safe to repeat, and is repeated. */
export function notaryOver(connection: Connection): AnchoringNotary {
  const { notary } = connection;
  return {
    async getLog(clusterId) {
      const { keys, maxLeafCount } = await connection.call(
        (options) => notary.getLog({ clusterId }, options),
        BRIEFLY,
      );
      return { vkeys: keys.map(({ vkey }) => vkey), maxLeafCount };
    },
    async createAnchor(request) {
      const response = await connection.call(
        (options) => notary.createAnchor(request, options),
        PATIENTLY,
        ANCHOR_TIMEOUT_MS,
      );
      return { ...response, logIndex: Number(response.logIndex) };
    },
  };
}
