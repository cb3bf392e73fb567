// The programs of this repository, as the suite needs them.
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { until } from './run.js'
import { signedWith } from './stage.js'

const SECRET = 'a secret that is known to this suite alone, 32+'
/** So that no case has to wait for long. */
const SETTINGS = {
  CARILLON__SOCKET__PING_INTERVAL: '1s', CARILLON__SOCKET__PONG_TIMEOUT: '800ms', CARILLON__AUTH__LEEWAY: '0s', CARILLON__LOG__LEVEL: 'error',
  CARILLON__GATEWAY__LISTEN: '127.0.0.1:0', CARILLON__ADMIN__LISTEN: '127.0.0.1:0',
}

/** Ended with this process, however that ends. */
const programs = new Set()
process.on('exit', () => programs.forEach((program) => program.kill('SIGKILL')))

async function end(program, signal) {
  programs.delete(program)
  if (program.exitCode !== null || program.signalCode !== null) return
  const gone = once(program, 'exit')
  program.kill(signal)
  await gone
}

/** Gateway and dispatcher in one process: where they are, and how to get in. */
export async function startServer({ redis } = {}) {
  const folder = await mkdtemp(`${tmpdir()}/carillon-conformance-`)
  const key = `ck_${randomBytes(32).toString('base64url')}`
  await writeFile(`${folder}/carillon.toml`, `[[auth.api_keys]]\nname = "suite"\nhash = "${createHash('sha256').update(key).digest('hex')}"\n` +
    `scopes = ["send", "broadcast", "read"]\n[[auth.issuers]]\nname = "suite"\nalgorithms = ["HS256"]\nsecret = "${SECRET}"\n`)
  const addresses = `${folder}/addresses`
  const args = ['standalone', '--config', `${folder}/carillon.toml`, '--addresses-file', addresses, ...redis ? ['--redis', redis] : []]
  const program = spawn(process.env.CARILLON_BIN, args, { env: { ...process.env, ...SETTINGS }, stdio: ['ignore', 'ignore', 'pipe'] })
  programs.add(program)
  let said = ''
  program.stderr.on('data', (text) => { said += text })
  const failed = once(program, 'exit').then(([code]) => { throw new Error(`carillon standalone ended with ${code}: ${said}`) })
  failed.catch(() => {})
  let at
  await Promise.race([failed, once(program, 'error').then(([error]) => { throw error }),
    until(async () => (at = JSON.parse(await readFile(addresses, 'utf8').catch(() => 'null'))) !== null, () => said, 20_000)])
  return {
    ws: `ws://${at.public}/ws/notifications`, sse: `http://${at.public}/sse/notifications`, api: `http://${at.public}`, key,
    token: signedWith(SECRET), leeway: 0, isSlow: false,
    async stop() {
      await end(program, 'SIGKILL')
      await rm(folder, { recursive: true })
    },
  }
}

/** A Redis of the suite's own. */
export async function startRedis() {
  const free = createServer().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const { port } = free.address()
  free.close()
  await once(free, 'close')
  const folder = await mkdtemp(`${tmpdir()}/carillon-conformance-redis-`)
  const program = spawn('redis-server', ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', folder], { stdio: ['ignore', 'pipe', 'ignore'] })
  programs.add(program)
  let said = ''
  program.stdout.on('data', (text) => { said += text })
  await until(() => said.includes('Ready to accept connections'), () => said)
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      await end(program, 'SIGTERM')
      await rm(folder, { recursive: true })
    },
  }
}
