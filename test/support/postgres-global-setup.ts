import { startTestServer, type TestServer } from './postgres-server.ts';
import { createTemplate, type DatabaseTemplate } from './postgres-template.ts';

/** How the workers of a run learn of the server that they share. */
export const TEMPLATE_VARIABLE = 'QM_TEST_TEMPLATE';

declare global {
  var quartermasterTestServer: { server: TestServer; template: DatabaseTemplate } | undefined;
}

export default async function setUp(): Promise<void> {
  const server = await startTestServer();
  const template = await createTemplate(server.superuserUrl);
  globalThis.quartermasterTestServer = { server, template };
  process.env[TEMPLATE_VARIABLE] = JSON.stringify(template);
}
