// A reader of Prometheus' text format that is written from its description and forgives nothing.
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const HELP = new RegExp(`^# HELP (${NAME}) ((?:[^\\\\\\n]|\\\\[\\\\n])*)$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary|untyped)$`);
const SAMPLE = new RegExp(
  `^(${NAME})(?:\\{(.*)\\})? ([+-]?(?:[0-9]+(?:\\.[0-9]+)?(?:e[+-]?[0-9]+)?|Inf)|NaN)$`,
);
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^\\"\n]|\\[\\"n])*)"(?:,(?=.)|$)/;

/** @throws for anything but whole families: HELP, TYPE, and samples of that name */
export function readExposition(text: string): Map<string, Family> {
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line has no line feed');
  const families = new Map<string, Family>();
  const lines = text.split('\n').slice(0, -1);
  for (let at = 0; at < lines.length; ) {
    const [, name = '', help = ''] = matched(HELP, lines[at++]);
    const [, typed, type = ''] = matched(TYPE, lines[at++]);
    if (typed !== name || families.has(name)) throw new Error(`the family ${name} is torn or twice there`);
    const samples = [];
    for (; at < lines.length && !lines[at]?.startsWith('#'); at++) {
      const [, sampled, labels, value = ''] = matched(SAMPLE, lines[at]);
      if (sampled !== name) throw new Error(`${sampled} among the samples of ${name}`);
      samples.push({ labels: readLabels(labels ?? ''), value: Number(value.replace('Inf', 'Infinity')) });
    }
    families.set(name, { type, help: unescaped(help), samples });
  }
  return families;
}

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (let rest = text; rest !== ''; ) {
    const [whole, name = '', value = ''] = matched(LABEL, rest);
    if (name in labels) throw new Error(`the label ${name} is twice there`);
    labels[name] = unescaped(value);
    rest = rest.slice(whole.length);
  }
  return labels;
}

function matched(pattern: RegExp, line: string | undefined): RegExpExecArray {
  const found = pattern.exec(line ?? '');
  if (found === null) throw new Error(`not in the format: ${line}`);
  return found;
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, character) => (character === 'n' ? '\n' : character));
}
