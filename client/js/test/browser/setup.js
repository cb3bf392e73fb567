// Chromium with a page of ours in each of its tabs, a server and a proxy.
import { execFileSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { assert, keep, newUser, Proxy, sleep, start, token, until } from '../real/setup.js'

export { assert, keep, newUser, Proxy, sleep, start, token, until }

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const KINDS = { html: 'text/html', js: 'text/javascript', map: 'application/json' }
const chrome = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? execFileSync('sh', ['-c', 'command -v chromium']).toString().trim(),
  args: ['--no-sandbox', '--disable-gpu'],
  // The driver switches the cache of pages off.
  ignoreDefaultArgs: ['--disable-back-forward-cache'],
})
after(() => chrome.close())

/**
 * Pages of tests, by path. One that the driver makes up comes from nowhere, and browsers let such a page connect to no
 * server on this machine.
 */
export const pages = new Map([['/else', '<title>else</title>elsewhere']])

/** Serves this folder. */
async function serve() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://x')
    if (pathname === '/favicon.ico') return response.writeHead(204).end()
    try {
      const body = pages.get(pathname) ?? await readFile(ROOT + pathname.slice(1))
      response.setHeader('content-type', KINDS[pathname.split('.').at(-1)] ?? 'text/html')
      response.end(body)
    } catch {
      response.writeHead(404).end()
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  after(() => server.close())
  return `http://127.0.0.1:${server.address().port}`
}

export const site = await serve()

/** A browser of one user. */
export async function browser() {
  const context = await chrome.newContext()
  keep({ stop: () => context.close() })
  return context
}

/** The address of a page of a user. */
export function address(proxy, user, tab, more = {}, file = 'page.html') {
  return `${site}/test/browser/${file}?${new URLSearchParams({ url: proxy.url, token: token(user), tab, ...more })}`
}

/** Opens it in a tab, and waits until it is connected. */
export async function open(context, proxy, user, tab, more, file) {
  const page = await context.newPage()
  await page.goto(address(proxy, user, tab, more, file))
  await isConnected(page)
  return page
}

export const stateOf = (page) => page.evaluate(() => window.client?.state)

export const isConnected = (page) => until(async () => await stateOf(page) === 'connected', () => stateOf(page))

/** What a tab wrote down; any page of the browser can read it. */
export async function noted(page, what, tab) {
  const text = await page.evaluate((key) => localStorage[key] ?? '', `${what}:${tab}`)
  return text.split(' ').filter(Boolean)
}

/** Waits until a tab was given so many, and then that they are exactly these. */
export async function gives(page, tab, ids, patience) {
  const given = () => noted(page, 'given', tab)
  await until(async () => (await given()).length >= ids.length, async () => `${tab}: ${(await given()).length} of ${ids.length}, ${await stateOf(page)}`, patience)
  await sleep(100)
  assert.deepEqual(await given(), ids, tab)
  assert.deepEqual([await noted(page, 'gaps', tab), await noted(page, 'errors', tab)], [[], []], tab)
}
