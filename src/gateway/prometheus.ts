// The gateway's numbers as text for Prometheus, so that its client library is not needed.

import { INSTRUMENTS, type Instrument, NAMESPACE } from './instruments.ts';
import type { GatewayStats } from './stats.ts';

/**
 * The text exposition format, version 0.0.4. The names are those that OpenTelemetry's rules make of its own instruments, so that a
 * dashboard does for both ways.
 *
 * @returns lines, each with its line feed
 */
export function prometheusText(stats: GatewayStats): string {
  return INSTRUMENTS.map((instrument) => family(instrument, stats)).join('');
}

function family(instrument: Instrument, stats: GatewayStats): string {
  const name = nameOf(instrument);
  const head = `# HELP ${name} ${escaped(instrument.description)}\n# TYPE ${name} ${instrument.kind}\n`;
  const value = instrument.read(stats);
  if (value === undefined || Number.isNaN(value)) return head;
  const labels = Object.entries(instrument.labels?.(stats) ?? {}).map(
    ([label, text]) => `${label}="${escaped(text).replaceAll('"', '\\"')}"`,
  );
  return `${head}${name}${labels.length === 0 ? '' : `{${labels.join(',')}}`} ${value}\n`;
}

/** opentelemetry.io, "Prometheus and OpenMetrics Compatibility": underscores, then the unit, then what it is. */
function nameOf({ name, unit, kind }: Instrument): string {
  const plain = `${NAMESPACE}.${name}`.replaceAll('.', '_');
  return `${plain}${unit === 's' ? '_seconds' : ''}${kind === 'counter' ? '_total' : ''}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
