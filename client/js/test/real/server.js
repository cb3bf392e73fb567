// A real `carillon standalone`, and what a service does with it.
import { spawn } from 'node:child_process'
import { createHash, createHmac, randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'

const PROGRAM = process.env.CARILLON_BIN ?? fileURLToPath(new URL('../../../../target/bin/carillon', import.meta.url))
/** Of the issuer whose tokens it takes. */
export const SECRET = 'a secret that is known to tests alone, 32+'

/** Ended with this process, however that ends. */
const programs = new Set()
process.on('exit', () => programs.forEach((program) => program.kill('SIGKILL')))

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms) })

/** Waits until it holds; fails with what `told` says. */
export async function until(holds, told, patience = 20_000) {
  const end = Date.now() + patience
  while (!await holds()) {
    if (Date.now() > end) throw new Error(`not within ${patience} ms: ${await told()}`)
    await sleep(20)
  }
}

/** A token for a user. */
export function token(user, { lifetime = 3_600, ...more } = {}) {
  const text = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${text({ alg: 'HS256', typ: 'JWT' })}.${text({ sub: user, exp: Math.floor(Date.now() / 1000) + lifetime, ...more })}`
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
}

/**
 * A port on which nothing listens now, below those that the kernel gives to outgoing connections: none of them
 * takes it before its server does.
 */
export async function freePort() {
  for (let tries = 0; tries < 1_000; tries += 1) {
    const port = randomInt(10_000, 32_000)
    const server = createServer().listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
    } catch {
      continue
    }
    server.close()
    await once(server, 'close')
    return port
  }
  throw new Error('no port is free')
}

export class Carillon {
  /** Starts one over the in-memory store, or over Redis. */
  static async start({ redis, settings = {} } = {}) {
    const folder = await mkdtemp(`${tmpdir()}/carillon-client-`)
    const key = `ck_${randomBytes(32).toString('base64url')}`
    const hash = createHash('sha256').update(key).digest('hex')
    await writeFile(`${folder}/carillon.toml`, `[[auth.api_keys]]\nname = "tests"\nhash = "${hash}"\n` +
      'scopes = ["send", "broadcast", "read", "admin"]\n' +
      `[[auth.issuers]]\nname = "tests"\nalgorithms = ["HS256"]\nsecret = "${SECRET}"\n`)
    const carillon = new Carillon(folder, key, redis, settings)
    await carillon.begin()
    return carillon
  }

  constructor(folder, key, redis, settings) {
    Object.assign(this, { folder, key, redis, settings })
  }

  /** Starts the program, also after it was killed. */
  async begin() {
    const { folder, redis, settings } = this
    const addresses = `${folder}/addresses`
    await rm(addresses, { force: true })
    const env = { ...process.env, CARILLON__LOG__LEVEL: 'warn', CARILLON__GATEWAY__LISTEN: '127.0.0.1:0', CARILLON__ADMIN__LISTEN: '127.0.0.1:0',
      CARILLON__DRAIN__DELAY: '0s', CARILLON__DRAIN__ASKED_DELAY: '0s', ...settings }
    const args = ['standalone', '--config', `${folder}/carillon.toml`, '--addresses-file', addresses, ...redis ? ['--redis', redis] : []]
    this.process = spawn(PROGRAM, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
    programs.add(this.process)
    this.said = ''
    this.process.stderr.on('data', (text) => { this.said += text })
    const failed = Promise.race([once(this.process, 'exit'), once(this.process, 'error')])
      .then(([why]) => { throw why instanceof Error ? why : new Error(`it ended with ${why}: ${this.said}`) })
    failed.catch(() => {})
    const read = async () => JSON.parse(await readFile(addresses, 'utf8').catch(() => 'null'))
    await Promise.race([failed, until(async () => (this.at = await read()) !== null, () => this.said)])
    this.port = Number(this.at.public.split(':').at(-1))
  }

  async call(method, path, body) {
    const headers = { authorization: `Bearer ${this.key}`, 'content-type': 'application/json' }
    const answer = await fetch(`http://${this.at.public}${path}`, { method, headers, body: body && JSON.stringify(body) })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return text ? JSON.parse(text) : undefined
  }

  /** Sends one; its id. */
  async send(user, content = '', more = {}) {
    const body = { target_user: user, notification_type: 'test', content: String(content), ...more }
    return (await this.call('POST', '/api/notifications/send', body)).id
  }

  /** To everyone, or to a channel; its id. */
  async publish(channel, content = '') {
    const body = { notification_type: 'test', content: String(content), ...channel && { channel } }
    return (await this.call('POST', '/api/notifications/broadcast', body)).id
  }

  /** So many, in order; their ids. */
  async sendMany(count, user) {
    const ids = []
    for (let n = 0; n < count; n++) ids.push(await this.send(user, n))
    return ids
  }

  /** Asks the gateway to drain. */
  async drain() {
    const { gateways } = await this.call('GET', '/api/gateways')
    for (const { id } of gateways) await this.call('POST', `/api/gateways/${id}/drain`)
  }

  async kill(signal = 'SIGKILL') {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    this.process.kill(signal)
    await once(this.process, 'exit')
  }

  async stop() {
    await this.kill()
    await rm(this.folder, { recursive: true })
  }
}

/** A Redis of the test's own; undefined where there is none. */
export async function startRedis() {
  const port = await freePort()
  const folder = await mkdtemp(`${tmpdir()}/carillon-client-redis-`)
  const redis = spawn('redis-server', ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', folder], { stdio: 'ignore' })
  programs.add(redis)
  await Promise.race([once(redis, 'error').then(([error]) => { throw error }),
    until(() => reachable(port), () => 'redis-server is not reachable')])
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      redis.kill()
      await once(redis, 'exit')
      await rm(folder, { recursive: true })
    },
  }
}

function reachable(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => { socket.destroy(); resolve(true) })
    socket.on('error', () => resolve(false))
  })
}
