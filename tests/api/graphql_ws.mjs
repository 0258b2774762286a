// Speaks to a server with the npm client `graphql-ws`: each query on the command line until it has as many answers as said.
// graphql_ws.mjs <module> <url> <number> <query>… : writes one line of JSON for each query: its answers, or its errors.
import { pathToFileURL } from "node:url";

const [module, url, number, ...queries] = process.argv.slice(2);
const { createClient } = await import(pathToFileURL(module));
const client = createClient({ url, retryAttempts: 0, keepAlive: 200, lazy: false, webSocketImpl: globalThis.WebSocket });

async function answers(query) {
  const found = [];
  try {
    for await (const answer of client.iterate({ query })) {
      found.push(answer);
      if (found.length === Number(number)) break;
    }
  } catch (error) {
    return { errors: Array.isArray(error) ? error.map((one) => one.message) : [String(error)] };
  }
  return { found };
}

process.stdout.write("connecting\n");
for (const result of await Promise.all(queries.map(answers))) process.stdout.write(`${JSON.stringify(result)}\n`);
await client.dispose();
