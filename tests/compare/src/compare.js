// What the client costs beside others of its kind, on this machine. --record writes it into docs/clients.md.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Proxy } from '../../../client/js/test/real/proxy.js'
import { sizeOf } from './sizes.js'

const HERE = fileURLToPath(new URL('..', import.meta.url))
const PAGE = fileURLToPath(new URL('../../../docs/clients.md', import.meta.url))
const NAMES = ['carillon-client', 'centrifuge', 'socket.io-client', 'partysocket', 'graphql-ws']

const WARM_UP = 20_000
const MANY = 20_000
const TIMES = 5
const REMEMBERED = 10_000
const OUTAGE_MS = 10_000
const LOSERS = 7

const servers = fork(`${HERE}src/servers.js`)
const [ports] = await once(servers, 'message')
let sent = 0

class Client {
  static async start(name, port = ports[name]) {
    const client = new Client(name, port)
    await client.hears('opened')
    return client
  }

  constructor(name, port) {
    this.name = name
    this.process = fork(`${HERE}src/client.js`, [name, port], { execArgv: ['--expose-gc'] })
  }

  /** Waits until it says so, or answers what it took. */
  async hears(what) {
    for (;;) {
      const [said] = await once(this.process, 'message')
      if (said === what || (what === undefined && said.micros !== undefined)) return said
    }
  }

  /** Gives it so many. */
  async take(count) {
    this.process.send({ count })
    await this.hears('go')
    const took = this.hears()
    servers.send({ name: this.name, count, from: sent })
    sent += count
    return took
  }

  stop() {
    this.process.disconnect()
  }
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]

/** Microseconds of CPU for each notification, after the compiler has seen enough of them. */
async function costOf(name) {
  const client = await Client.start(name)
  await client.take(WARM_UP)
  const costs = []
  for (let n = 0; n < TIMES; n++) costs.push((await client.take(MANY)).micros / MANY)
  client.stop()
  return median(costs)
}

/** Bytes that stay of ten thousand notifications which nobody keeps. */
async function memoryOf(name) {
  const client = await Client.start(name)
  // What it makes at the first one is not of the ten thousand.
  await client.take(100)
  const { heap } = await client.take(REMEMBERED)
  client.stop()
  return Math.max(heap, 0)
}

/** Milliseconds from the network's return to the next connection, of several clients; those that never return, too. */
async function returnsOf(name) {
  const proxy = await Proxy.start(ports[name])
  const clients = await Promise.all(Array.from({ length: LOSERS }, () => Client.start(name, proxy.port)))
  proxy.isDown = true
  proxy.reset()
  await sleep(OUTAGE_MS)
  const back = performance.now()
  proxy.isDown = false
  const returned = await Promise.all(clients.map((client) => Promise.race([
    client.hears('opened').then(() => performance.now() - back),
    sleep(60_000, Infinity),
  ])))
  clients.forEach((client) => client.stop())
  await proxy.stop?.()
  return returned
}

const told = (text) => process.stderr.write(`${text}\n`)
const rows = []
for (const name of NAMES) {
  const { version } = createRequire(import.meta.url)(`${HERE}node_modules/${name}/package.json`)
  told(`${name} ${version}`)
  rows.push({ name, version, size: await sizeOf(name, HERE), cost: await costOf(name), memory: await memoryOf(name) })
}
told(`the network goes for ${OUTAGE_MS / 1000} s`)
const returns = await Promise.all(NAMES.map(returnsOf))
rows.forEach((row, i) => { row.returns = returns[i] })
servers.disconnect()

const FIGURES = [
  ['on the wire, gzipped', 'KiB', ({ size }) => size / 1024],
  ['CPU for a notification', 'µs', ({ cost }) => cost],
  ['kept of 10 000 notifications', 'KiB', ({ memory }) => memory / 1024],
  [`back after ${OUTAGE_MS / 1000} s without a network, median`, 's', ({ returns: all }) => median(all) / 1000],
  ['the slowest of seven', 's', ({ returns: all }) => Math.max(...all) / 1000],
]

/** A figure of all, as numbers and as bars. */
function drawn([what, unit, of]) {
  const values = rows.map(of)
  const most = Math.max(...values.filter(Number.isFinite))
  const lines = rows.map(({ name, version }, i) => {
    const value = Number.isFinite(values[i]) ? values[i].toPrecision(3) : 'never'
    const bar = '#'.repeat(Number.isFinite(values[i]) ? Math.max(1, Math.round(values[i] / most * 30)) : 0)
    return `  ${`${name} ${version}`.padEnd(26)} ${value.padStart(8)} ${unit.padEnd(3)}  ${bar}`
  })
  return [what, ...lines].join('\n')
}

const text = FIGURES.map(drawn).join('\n\n')
console.log(text)
if (process.argv.includes('--record')) {
  const page = await readFile(PAGE, 'utf8')
  const [before, after] = page.split(/(?<=<!-- measured -->\n)[^]*(?=<!-- end -->)/)
  await writeFile(PAGE, `${before}\`\`\`text\n${text}\n\`\`\`\n${after}`)
  told(PAGE)
}
process.exit()
