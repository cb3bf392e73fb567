// Holds a server to docs/protocol.md: node tests/conformance/server.js --help
import { parseArgs } from 'node:util'
import { readFile } from 'node:fs/promises'
import { serverCases, testServer } from './src/suites.js'
import { report } from './src/run.js'
import { printedBy, signedWith } from './src/stage.js'

const HELP = `Holds a server of carillon.v1 to docs/protocol.md.

  node tests/conformance/server.js --ws URL --api URL --key KEY (--secret-file FILE | --token-command COMMAND)

  --ws URL               where sockets are: ws://127.0.0.1:8080/ws/notifications
  --sse URL              where event streams are, if there are any: http://127.0.0.1:8080/sse/notifications
  --api URL              of the REST API: http://127.0.0.1:8081
  --key KEY              an API key that may send and broadcast; or in CARILLON_API_KEY
  --secret-file FILE     the secret of an issuer of HS256 tokens
  --token-command TEXT   prints a token; called with the user, its lifetime in seconds and its channels (a,b)
  --leeway SECONDS       how long after its end a token still counts (30)
  --slow                 cases as well that wait for half a minute and more
  --only TEXT            cases whose name has this in it; as often as you like
  --at-once N            cases that run together (6)
  --list                 what is tested, and the sentences

Users, devices and channels of the run are its own. Exit code 1: a rule is broken.`

const { values: options } = parseArgs({ options: {
  ws: { type: 'string' }, sse: { type: 'string' }, api: { type: 'string' }, key: { type: 'string', default: process.env.CARILLON_API_KEY },
  'secret-file': { type: 'string' }, 'token-command': { type: 'string' }, leeway: { type: 'string', default: '30' }, slow: { type: 'boolean' },
  only: { type: 'string', multiple: true }, 'at-once': { type: 'string', default: '6' }, list: { type: 'boolean' }, help: { type: 'boolean' },
} })

if (options.list) {
  for (const { name, says } of serverCases) console.log(`${name}\n    ${says}`)
  process.exit(0)
}
const token = options['secret-file'] ? signedWith((await readFile(options['secret-file'], 'utf8')).trim())
  : options['token-command'] ? printedBy(options['token-command']) : undefined
if (options.help || !options.ws || !options.api || !options.key || !token) {
  console.log(HELP)
  process.exit(options.help ? 0 : 64)
}
const server = { ws: options.ws, sse: options.sse, api: options.api, key: options.key, token, leeway: Number(options.leeway), isSlow: options.slow }
const results = await testServer(server, { only: options.only, atOnce: Number(options['at-once']) })
process.exit(report(`server ${options.ws}`, results) ? 1 : 0)
