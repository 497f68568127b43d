/** What the service must be told, by its environment. */
export interface Configuration {
  readonly host: string;
  /** 0 takes a free one */
  readonly port: number;
  readonly databaseUrl: string;
  /** `host:port` of the notary; nobody need be there yet */
  readonly notaryEndpoint: string;
  readonly clusterId: string;
  /** Verifier keys of the cluster's log, from somebody you trust: without them the notary would be believed blindly. */
  readonly notaryKeys: readonly string[];
}

/** @throws Error that names every variable that is missing */
export function readConfiguration(environment: NodeJS.ProcessEnv): Configuration {
  const { HOST, PORT, DATABASE_URL, NOTARY_ENDPOINT, NOTARY_CLUSTER_ID, NOTARY_KEYS } = environment;
  const required = { DATABASE_URL, NOTARY_ENDPOINT, NOTARY_CLUSTER_ID, NOTARY_KEYS };
  const missing = Object.entries(required).flatMap(([name, value]) => (value ? [] : [name]));
  if (missing.length > 0) throw new Error(`set ${missing.join(', ')}; README.md says what they are`);
  return {
    host: HOST || '127.0.0.1',
    port: Number(PORT || 8080),
    databaseUrl: DATABASE_URL ?? '',
    notaryEndpoint: NOTARY_ENDPOINT ?? '',
    clusterId: NOTARY_CLUSTER_ID ?? '',
    notaryKeys: (NOTARY_KEYS ?? '').trim().split(/\s+/),
  };
}
