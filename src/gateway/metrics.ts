// The gateway's numbers, for OpenTelemetry. Nothing of it is imported: a program that uses it hands its meter in.

import { INSTRUMENTS, NAMESPACE } from './instruments.ts';
import type { GatewayStats } from './stats.ts';

/** The part of an OpenTelemetry `Meter` (`@opentelemetry/api`) that the gateway needs; a real one is one as it is. */
export interface Meter {
  createObservableGauge(name: string, options?: InstrumentOptions): ObservableInstrument;
  createObservableCounter(name: string, options?: InstrumentOptions): ObservableInstrument;
  addBatchObservableCallback(callback: ObserveBatch, instruments: ObservableInstrument[]): void;
  removeBatchObservableCallback(callback: ObserveBatch, instruments: ObservableInstrument[]): void;
}

export interface InstrumentOptions {
  readonly description?: string;
  readonly unit?: string;
}

/** What the meter made; only handed back to it. */
export interface ObservableInstrument {
  addCallback(callback: never): void;
}

export type ObserveBatch = (result: {
  observe(instrument: ObservableInstrument, value: number, attributes?: Record<string, string>): void;
}) => void | Promise<void>;

/**
 * Registers all instruments with a meter. They are read together, so that what is collected at once belongs together and an
 * outbox in a database is asked once. Two gateways need two meters: without labels, one's numbers would hide the other's.
 *
 * @param read where the numbers come from; what it rejects with is told to OpenTelemetry's own diagnostics
 * @returns how to end it
 */
export function observe(meter: Meter, read: () => Promise<GatewayStats>): () => void {
  const made = INSTRUMENTS.map((definition) => {
    const { kind, name, description, unit } = definition;
    const options = { description, unit };
    const fullName = `${NAMESPACE}.${name}`;
    const instrument =
      kind === 'counter'
        ? meter.createObservableCounter(fullName, options)
        : meter.createObservableGauge(fullName, options);
    return { definition, instrument };
  });
  const instruments = made.map(({ instrument }) => instrument);
  const callback: ObserveBatch = async (result) => {
    const stats = await read();
    for (const { definition, instrument } of made) {
      const value = definition.read(stats);
      if (value !== undefined && !Number.isNaN(value))
        result.observe(instrument, value, definition.labels?.(stats) ?? {});
    }
  };
  meter.addBatchObservableCallback(callback, instruments);
  return () => meter.removeBatchObservableCallback(callback, instruments);
}
