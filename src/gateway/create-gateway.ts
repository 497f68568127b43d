import { checkOptions } from './check-options.ts';
import { type Environment, realEnvironment } from './environment.ts';
import { Gateway } from './gateway.ts';
import type { GatewayOptions } from './options.ts';

/**
 * Makes a gateway to a notary. Nothing is connected yet, and the notary need not be there: leaves wait in the outbox.
 *
 * @example
 * ```ts
 * import { commitEvent, createGateway } from 'quartermaster/gateway';
 *
 * await using gateway = createGateway({ endpoint: '127.0.0.1:50051', clusterId });
 * const { leaf, salt } = commitEvent({ actor: 'alice', action: 'secret.read' }); // keep the salt beside the event
 * const handle = await gateway.submit(leaf); // never waits for the notary
 * const { anchorId, leafIndex } = await handle.anchored;
 * ```
 * @throws {GatewayError} BAD_OPTIONS, with every mistake in its message
 */
export function createGateway(options: GatewayOptions): Gateway {
  return createGatewayIn(realEnvironment, options);
}

/** @internal For tests: with another clock, or another network. */
export function createGatewayIn(environment: Environment, options: GatewayOptions): Gateway {
  return new Gateway(checkOptions(options), environment);
}
