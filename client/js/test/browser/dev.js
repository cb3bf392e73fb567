// `carillon standalone --dev` and its page, for tests. CARILLON_PAGE names one that runs already.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { keep, until } from './setup.js'

const PROGRAM = process.env.CARILLON_BIN ?? fileURLToPath(new URL('../../../../target/bin/carillon', import.meta.url))

/** Starts one; the address of its page. */
export async function startDev() {
  if (process.env.CARILLON_PAGE) return process.env.CARILLON_PAGE
  const folder = await mkdtemp(`${tmpdir()}/carillon-page-`)
  const addresses = `${folder}/addresses`
  const program = spawn(PROGRAM, ['standalone', '--dev', '--listen', '127.0.0.1:0', '--addresses-file', addresses],
    { env: { ...process.env, CARILLON__ADMIN__LISTEN: '127.0.0.1:0', CARILLON__LOG__LEVEL: 'warn' }, stdio: ['ignore', 'ignore', 'pipe'] })
  process.on('exit', () => program.kill('SIGKILL'))
  let said = ''
  program.stderr.on('data', (text) => { said += text })
  keep({
    async stop() {
      program.kill()
      if (program.exitCode === null) await once(program, 'exit')
      await rm(folder, { recursive: true })
    },
  })
  let at
  await until(async () => {
    if (program.exitCode !== null) throw new Error(`it ended with ${program.exitCode}: ${said}`)
    return at = await readFile(addresses, 'utf8').then(JSON.parse).catch(() => null)
  }, () => said)
  return `http://${at.public}/`
}

/**
 * The page in a browser of its own, with both users connected, and what a test asks of it. Fails at the end of
 * the test when the page complained, or loaded something from elsewhere.
 */
export async function openDev(context, url) {
  const page = await context.newPage()
  const complaints = []
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()) })
  page.on('pageerror', (error) => complaints.push(`${error}`))
  page.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(url).host) complaints.push(`loads ${request.url()}`)
  })
  const answer = await page.goto(url)
  const it = {
    page,
    answer,
    complaints,
    card: (user) => page.locator(`.person[data-who=${user}]`),
    button: (user, name) => it.card(user).getByRole('button', { name }),
    told: (user) => it.card(user).locator('.inbox .content').allTextContents(),
    is: async (user, what) => it.card(user).locator(`[data-is=${what}]`).textContent(),
    /** Waits until a user was told these, the newest first, and nothing else. */
    async has(user, contents) {
      await until(async () => (await it.told(user)).length >= contents.length, async () => `${user} has ${await it.told(user)}`)
      const told = await it.told(user)
      if (told.join('|') !== contents.join('|')) throw new Error(`${user} was told ${told}, not ${contents}`)
    },
    /** Waits for a text in a user's card. */
    async shows(user, what, text) {
      await until(async () => await it.is(user, what) === text, async () => `${what} of ${user} is ${await it.is(user, what)}, not ${text}`)
    },
    async send(from, content) {
      await it.card(from).getByRole('textbox').fill(content)
      await it.button(from, 'Send').click()
    },
    log: (user, what) => page.locator(`#log li[data-who=${user}]`).filter({ has: page.locator('.what', { hasText: new RegExp(`^${what}$`) }) }),
  }
  for (const user of ['alice', 'bob']) await it.shows(user, 'state', 'connected')
  return it
}
