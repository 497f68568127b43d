import { EventEmitter } from 'node:events';
import type { AnchoredBatch } from './anchored.ts';
import type { Settings } from './check-options.ts';
import type { DeliveryObserver, Evidence } from './delivery.ts';
import type { Environment } from './environment.ts';
import { GatewayError } from './error.ts';
import { formatEvidence } from './evidence.ts';
import type { LeafHandles } from './leaf-handle.ts';
import type { Alarm } from './options.ts';
import type { DeadLetter } from './outbox.ts';
import type { Tally } from './tally.ts';

/** What happens, for whoever listens with `on`. A listener that throws is logged and hurts nobody. */
export interface GatewayEvents {
  anchored: [batch: AnchoredBatch];
  deadLetter: [letter: DeadLetter];
  alarm: [alarm: Alarm];
  /** the notary does not take batches: a name of a gRPC status and a message */
  away: [status: string, message: string];
  back: [];
}

/** What the reporter needs of the gateway that it speaks for. */
export interface Reported {
  readonly handles: LeafHandles;
  /** something left the outbox */
  freed(): void;
  /** an alarm has stopped submissions */
  isStopped(): boolean;
}

/** Says what happens: to the log, to the counters, to the application, to whoever listens. Nobody who is told can hurt delivery. */
export class Reporter {
  readonly #settings: Settings;
  readonly #environment: Environment;
  readonly #tally: Tally;
  readonly #events = new EventEmitter<GatewayEvents>();

  constructor(settings: Settings, environment: Environment, tally: Tally) {
    this.#settings = settings;
    this.#environment = environment;
    this.#tally = tally;
  }

  on<Name extends keyof GatewayEvents>(name: Name, listener: (...event: GatewayEvents[Name]) => void): void {
    this.#events.on(name, listener as never);
  }

  off<Name extends keyof GatewayEvents>(name: Name, listener: (...event: GatewayEvents[Name]) => void): void {
    this.#events.off(name, listener as never);
  }

  /** What delivery is watched by. */
  observe(reported: Reported): DeliveryObserver {
    const { onAnchored, onDeadLetter, log } = this.#settings;
    const tally = this.#tally;
    const now = this.#environment.now;
    return {
      anchored: async (_batch, anchored) => onAnchored?.(anchored),
      settled: (batch, anchored) => {
        tally.anchored(batch.sequences.length);
        reported.handles.anchored(batch, anchored);
        this.#emit('anchored', anchored);
        reported.freed();
      },
      buried: (batch, letter) => {
        tally.refused(batch.sequences.length);
        const { status, reason, message } = letter.refusal;
        log.error({ id: letter.id, leaves: letter.leaves.length, status, reason }, `dead letter: ${message}`);
        reported.handles.refused(batch, letter.refusal);
        if (onDeadLetter !== undefined) this.#guarded('onDeadLetter', () => onDeadLetter(letter));
        this.#emit('deadLetter', letter);
        reported.freed();
      },
      split: () => tally.split(),
      attempted: (isRetry) => tally.attempted(isRetry),
      failed: (status, message) => tally.failed(now(), status, message),
      away: (status, message) => {
        tally.away(now());
        log.warn({ endpoint: this.#settings.endpoint, status }, `the notary takes no batches: ${message}`);
        this.#emit('away', status, message);
      },
      back: () => {
        const awayMs = tally.back(now());
        log.info({ endpoint: this.#settings.endpoint, away_ms: awayMs }, 'the notary takes batches again');
        this.#emit('back');
      },
      hampered: (what, error, isNews) => {
        if (isNews) this.triedAgain(what, error);
        else this.noted(error);
      },
      lied: (code, message, evidence) => this.#alarm(reported, code, message, evidence),
    };
  }

  /** @param what failed, and is tried again */
  triedAgain(what: string, error: unknown): void {
    const message = this.noted(error);
    this.#settings.log.error({ err: error }, `${what} failed, and is tried again: ${message}`);
  }

  failed(what: string, error: unknown): void {
    const message = this.noted(error);
    this.#settings.log.error({ err: error }, `${what} failed: ${message}`);
  }

  /** Counts it, and says nothing. @returns what it says itself */
  noted(error: unknown): string {
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof GatewayError ? error.code : 'INTERNAL';
    this.#tally.failed(this.#environment.now(), code, message);
    return message;
  }

  async #alarm(
    reported: Reported,
    code: string,
    message: string,
    evidence: Evidence | undefined,
  ): Promise<void> {
    const isStopped = reported.isStopped();
    let where: string | undefined;
    try {
      if (evidence !== undefined) {
        where = await this.#settings.outbox.keepEvidence(
          formatEvidence(this.#environment.now(), code, message, evidence),
        );
      }
    } catch (error) {
      this.failed('keeping evidence', error);
    }
    this.#tally.alarm(this.#environment.now(), code, message);
    this.#settings.log.error(
      { code, evidence: where, stopped: isStopped },
      `ALARM: the notary ${code === 'DATA_LOSS' ? 'says that it lost data' : 'is not to be believed'}: ${message}`,
    );
    this.#emit('alarm', { code, message, evidence: where, stopped: isStopped });
  }

  #emit<Name extends keyof GatewayEvents>(name: Name, ...event: GatewayEvents[Name]): void {
    this.#guarded(`a listener to ${name}`, () => {
      this.#events.emit(name, ...(event as never));
    });
  }

  #guarded(what: string, run: () => void | Promise<void>): void {
    const failed = (error: unknown) => this.#settings.log.error({ err: error }, `${what} threw`);
    try {
      Promise.resolve(run()).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}
