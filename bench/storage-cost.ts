import pg from 'pg';

/** What the tables of history take on disk, indexes and TOAST included. */
export async function tableBytes(ownerUrl: string): Promise<number> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ bytes: string }>(
      `SELECT sum(pg_total_relation_size(oid)) AS bytes FROM pg_class
       WHERE relname IN ('heads', 'anchors', 'anchor_leaves_default', 'log_nodes')`,
    );
    return Number(rows[0]?.bytes);
  } finally {
    await client.end();
  }
}
