import { behindPooler, type PgBouncer, startPoolerOfRun } from './pgbouncer.ts';
import { startTestServer, type TestServer } from './postgres-server.ts';
import { createTemplate, type DatabaseTemplate } from './postgres-template.ts';

/** How the workers of a run learn of the server that they share. */
export const TEMPLATE_VARIABLE = 'QM_TEST_TEMPLATE';

declare global {
  var quartermasterTestServer:
    | { server: TestServer; template: DatabaseTemplate; pooler: PgBouncer | undefined }
    | undefined;
}

export default async function setUp(): Promise<void> {
  const server = await startTestServer();
  const made = await createTemplate(server.superuserUrl);
  const pooler = await startPoolerOfRun(server.superuserUrl);
  const template = behindPooler(made, pooler);
  globalThis.quartermasterTestServer = { server, template, pooler };
  process.env[TEMPLATE_VARIABLE] = JSON.stringify(template);
}
