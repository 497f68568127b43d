// What `agent` needs, judged before anything is opened.

import { checkListenAddress } from '../../server/listen-address.ts';
import { judgeTrustedCertificates } from './client-configuration.ts';
import { Mistakes, nameOf, readSettings, type Sources } from './read-settings.ts';
import type { ReadFile } from './seed.ts';
import { judgeMemoryBudget } from './serve-configuration.ts';
import { type Configuration, SETTINGS_OF } from './settings.ts';

type AgentSetting = (typeof SETTINGS_OF.agent)[number];

export type AgentConfiguration = Omit<Configuration<AgentSetting>, 'caFile' | 'logKeys'> & {
  /** PEM; undefined: plain text */
  readonly trustedCertificates: Uint8Array | undefined;
  readonly keys: readonly string[];
};

/** @throws {CliError} CONFIGURATION with every mistake */
export function loadAgentConfiguration(sources: Sources, readFile: ReadFile): AgentConfiguration {
  const mistakes = new Mistakes();
  const settings = readSettings(SETTINGS_OF.agent, sources, mistakes);
  const trustedCertificates = judgeTrustedCertificates(settings.caFile, readFile, mistakes);
  judgeMemoryBudget(settings, mistakes);
  const { agentListen, insecureListen } = settings;
  if (agentListen !== undefined) {
    const judged = checkListenAddress(agentListen, { tls: false, allowInsecure: insecureListen === true });
    if (!judged.ok) {
      mistakes.add(
        `${nameOf('agentListen')}: "${agentListen}" can be reached from other machines, and the agent asks nobody who ` +
          `they are: listen on 127.0.0.1 or on unix:/path, or allow it explicitly (${nameOf('insecureListen')})`,
      );
    }
  }
  if (mistakes.lines.length > 0) throw mistakes.toError();
  const { caFile: _caFile, logKeys = [], ...rest } = settings;
  // Without mistakes every setting that has a default is there.
  const complete = rest as Configuration<keyof typeof rest>;
  return { ...complete, trustedCertificates, keys: logKeys };
}
