/** The part of an OpenTelemetry `Meter` (`@opentelemetry/api`) that the gateway needs; a real one is one as it is. */
export interface Meter {
  createObservableGauge(name: string, options?: InstrumentOptions): ObservableInstrument;
  createObservableCounter(name: string, options?: InstrumentOptions): ObservableInstrument;
}

export interface InstrumentOptions {
  readonly description?: string;
  readonly unit?: string;
}

export interface ObservableInstrument {
  addCallback(callback: (result: { observe(value: number): void }) => void): void;
}
