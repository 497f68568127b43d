import { HealthImplementation } from 'grpc-health-check';
import type { ServiceHost } from './foreign-service.ts';

/** grpc.health.v1: one answer for the whole server (the empty name) and for each service. */
export class Health {
  readonly #implementation: HealthImplementation;
  readonly #names: readonly string[];
  #serving = true;
  #draining = false;

  constructor(serviceNames: readonly string[]) {
    this.#names = ['', ...serviceNames];
    this.#implementation = new HealthImplementation(
      Object.fromEntries(this.#names.map((name) => [name, 'SERVING' as const])),
    );
  }

  addTo(host: ServiceHost): void {
    this.#implementation.addToServer(host as Parameters<HealthImplementation['addToServer']>[0]);
  }

  /** What the process knows, for example of its database. Nothing brings a draining server back. */
  setServing(serving: boolean): void {
    this.#serving = serving;
    this.#publish();
  }

  drain(): void {
    this.#draining = true;
    this.#publish();
  }

  #publish(): void {
    const status = this.#serving && !this.#draining ? 'SERVING' : 'NOT_SERVING';
    for (const name of this.#names) this.#implementation.setStatus(name, status);
  }
}
