// Holds a client to docs/protocol.md: node tests/conformance/client.js --help
import { parseArgs } from 'node:util'
import { report } from './src/run.js'
import { clientCases, testClient } from './src/suites.js'

const HELP = `Holds a client of carillon.v1 to docs/protocol.md.

  node tests/conformance/client.js COMMAND

COMMAND is run by sh for each case. It connects to CARILLON_URL (ws://…/ws/notifications) with the token CARILLON_TOKEN, joins
the channel CARILLON_CHANNEL if that is set, and prints a line of JSON with the "id" of each notification once it has handled
it. It is killed when the case is over.

  --only TEXT   cases whose name has this in it; as often as you like
  --at-once N   cases that run together (6)
  --list        what is tested, and the sentences

Exit code 1: a rule is broken.`

const { values: options, positionals: [command] } = parseArgs({ allowPositionals: true, options: {
  only: { type: 'string', multiple: true }, 'at-once': { type: 'string', default: '6' }, list: { type: 'boolean' }, help: { type: 'boolean' },
} })

if (options.list) {
  for (const { name, says } of clientCases) console.log(`${name}\n    ${says}`)
  process.exit(0)
}
if (options.help || !command) {
  console.log(HELP)
  process.exit(options.help ? 0 : 64)
}
const results = await testClient(command, { only: options.only, atOnce: Number(options['at-once']) })
process.exit(report(`client ${command}`, results) ? 1 : 0)
