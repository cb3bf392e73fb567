// What this repository has, held to its own protocol: carillon standalone over both stores, client/js and client/rust.
// node tests/conformance/here.js [TEXT …]: cases whose name has one of these in it.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { startServer, startRedis } from './src/here.js'
import { report } from './src/run.js'
import { testClient, testServer } from './src/suites.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const only = process.argv.length > 2 ? process.argv.slice(2) : undefined
process.chdir(ROOT)
process.env.CARILLON_BIN ??= `${ROOT}target/bin/carillon`

let failures = 0
const hasRedis = () => {
  try {
    execFileSync('redis-server', ['--version'])
    return true
  } catch {
    return false
  }
}
for (const store of ['memory', ...hasRedis() ? ['redis'] : []]) {
  const redis = store === 'redis' ? await startRedis() : undefined
  const server = await startServer({ redis: redis?.url })
  const results = await testServer(server, { only, atOnce: 8 })
  failures += report(`server: carillon standalone, ${store}`, results)
  await server.stop()
  await redis?.stop()
}
for (const [name, command] of [['client/js', 'exec node tests/conformance/drivers/carillon-client.js'],
  ['client/rust (carillon subscribe)', 'exec tests/conformance/drivers/carillon-subscribe']]) {
  failures += report(`client: ${name}`, await testClient(command, { only, atOnce: 8 }))
}
process.exit(failures ? 1 : 0)
