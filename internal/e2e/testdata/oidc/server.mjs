// A real provider (npm oidc-provider) with pages of its own, for one client.
//
//   node server.mjs CLIENT_ID SECRET_FILE PEOPLE_FILE
//
// The first line on standard output is the issuer; the client's redirect URI is read from standard input then. PEOPLE_FILE is JSON that is read at each login: { "ann": { "email": "…", "email_verified": true, "groups": ["…"] } }. Any
// password will do.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline/promises';
import Provider from 'oidc-provider';

const [clientId, secretFile, people] = process.argv.slice(2);
const server = createServer();
server.listen(0, '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  process.stdout.write(`${issuer}\n`);
  const redirect = await createInterface({ input: process.stdin }).question('');
  const provider = new Provider(issuer, {
    clients: [{
      client_id: clientId,
      client_secret: readFileSync(secretFile, 'utf8').trim(),
      redirect_uris: [redirect],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    scopes: ['openid', 'email', 'profile', 'groups'],
    pkce: { required: () => true },
    cookies: { keys: ['only for tests'] },
    findAccount: (ctx, sub) => ({
      accountId: sub,
      claims: () => ({ sub, ...JSON.parse(readFileSync(people, 'utf8'))[sub] }),
    }),
  });
  server.on('request', provider.callback());
  process.stdout.write('ready\n');
});
