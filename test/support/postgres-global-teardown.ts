import { dropTemplate } from './postgres-template.ts';

export default async function tearDown(): Promise<void> {
  const shared = globalThis.quartermasterTestServer;
  if (shared === undefined) return;
  await shared.pooler?.stop();
  await dropTemplate(shared.template);
  await shared.server.stop();
}
