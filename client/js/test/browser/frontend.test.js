// docs/frontend.md: every block of it is run, as it stands there.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { compileScript, parse } from 'vue/compiler-sfc'
import { HttpProxy } from '../real/http-proxy.js'
import { SECRET } from '../real/server.js'
import { assert, browser, isConnected, keep, newUser, pages, Proxy, site, sleep, start, stateOf, until } from './setup.js'

const HERE = fileURLToPath(new URL('../..', import.meta.url))
const text = await readFile(`${HERE}../../docs/frontend.md`, 'utf8')
const { carillon, proxy } = await start()

/** By the name in the comment before each. */
const snippets = new Map([...text.matchAll(/<!-- snippet: ([\w-]+) -->\n( *)```(\w+)\n([^]*?)\n *```/g)]
  .map(([, name, indent, language, code]) => [name, { language, code: code.replaceAll(`\n${indent}`, '\n').replace(indent, '') }]))
const run = new Set()

/** The code of a block, which is run by whoever takes it. */
function take(name, url = proxy.url) {
  assert.ok(snippets.has(name), name)
  run.add(name)
  return snippets.get(name).code.replaceAll('wss://push.example.com', url)
}

/** What the blocks import of an application. */
const modules = {
  name: 'modules',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/(get-token|store)\.js$/ }, ({ path, importer }) =>
      importer === '<stdin>' ? { path, namespace: 'modules' } : undefined)
    onLoad({ filter: /.*/, namespace: 'modules' }, ({ path }) => ({
      contents: path === './store.js' ? 'export const store = (it) => globalThis.stored(it)' : take('get-token'), resolveDir: HERE,
    }))
  },
}

async function bundle(contents, { loader = 'js', platform = 'browser', external = [] } = {}) {
  const { outputFiles: [file] } = await build({ stdin: { contents, resolveDir: HERE, loader }, bundle: true, format: 'esm', write: false, platform,
    external, jsx: 'automatic', target: 'es2022', plugins: [modules], logLevel: 'error', define: { 'process.env.NODE_ENV': '"development"' } })
  return file.text
}

/** Runs it in this process. */
async function inNode(name, contents) {
  const folder = `${HERE}node_modules/.snippets`
  await mkdir(folder, { recursive: true })
  await writeFile(`${folder}/${name}.mjs`, await bundle(contents, { platform: 'node', external: ['ws'] }))
  return import(pathToFileURL(`${folder}/${name}.mjs`).href)
}

const { pushToken } = await import(`data:text/javascript,${encodeURIComponent(take('push-token'))}`)

/** A page of a user who is signed in, with this in its body. */
async function pageOf(user, { body = '', context, path = '/else' } = {}) {
  const page = await (context ?? await browser()).newPage()
  page.failures = []
  page.on('pageerror', (error) => page.failures.push(error.message))
  await page.route('**/session/push-token', (route) => route.fulfill(user ? { json: { token: pushToken(user, SECRET) } } : { status: 401 }))
  await page.goto(site + path)
  await page.evaluate((html) => { document.body.innerHTML = html }, body)
  return page
}

const add = async (page, contents, options) => page.addScriptTag({ type: 'module', content: await bundle(contents, options) })

const shows = (page, selector, expected) => until(async () => (await page.locator(selector).allTextContents()).join('|') === expected,
  async () => `${selector} is ${await page.locator(selector).allTextContents()}, not ${expected}; ${page.failures}`)

const ship = (user, content, order = 1) => carillon.send(user, content, { notification_type: 'order.shipped', data: { order } })

const LIST = '<ul id="notifications"></ul>'
/** For blocks that begin where there is a client. */
const CLIENT = `
  import { NotificationClient } from 'carillon-client'
  import { getToken } from './get-token.js'
  const client = window.client = new NotificationClient({ url: '${proxy.url}', getToken, backoff: { baseMs: 100, maxMs: 300 } })
  const show = (text) => {
    document.querySelector('#notifications').append(Object.assign(document.createElement('li'), { textContent: text }))
  }
  client.connect()\n`

test('without a framework', async () => {
  const user = newUser()
  const page = await pageOf(user, { body: LIST })
  await add(page, take('vanilla'))
  await ship(user, 'On its way', 4711)
  await shows(page, 'li', 'On its way: order 4711')
  await ship(user, 'Late', 4712)
  await shows(page, 'li', 'Late: order 4712|On its way: order 4711')
})

test('nobody is signed in', async () => {
  const page = await pageOf(undefined, { body: LIST })
  await add(page, `${take('vanilla')}\nwindow.client = client`)
  await until(async () => await stateOf(page) === 'failed', () => stateOf(page))
})

test('as a script', async () => {
  const user = newUser()
  const page = await (await browser()).newPage()
  await page.route('**/carillon-client.iife.js', (route) => route.fulfill({ path: `${HERE}dist/carillon-client.iife.js` }))
  const body = take('script').replace("'…'", `'${pushToken(user, SECRET)}'`)
  pages.set('/page', `<!doctype html>${body}`)
  page.failures = []
  page.on('pageerror', (error) => page.failures.push(error.message))
  await page.goto(`${site}/page`)
  await carillon.send(user, 'hello')
  await shows(page, 'li', 'hello')
})

test('React', async () => {
  const user = newUser()
  const page = await pageOf(user, { body: '<main></main>' })
  await add(page, `import { StrictMode } from 'react'
    import { createRoot } from 'react-dom/client'
    ${take('react')}
    createRoot(document.querySelector('main')).render(<StrictMode><App /></StrictMode>)`, { loader: 'jsx' })
  await shows(page, 'h2', 'Orders (connected)')
  await ship(user, 'one')
  await ship(user, 'two')
  await shows(page, 'li', 'one|two')
  assert.deepEqual(page.failures, [])
})

test('Vue', async () => {
  const user = newUser()
  const page = await pageOf(user, { body: '<main></main>' })
  const { descriptor, errors } = parse(take('vue'))
  assert.deepEqual(errors, [])
  const { content } = compileScript(descriptor, { id: 'snippet', inlineTemplate: true, genDefaultAs: 'App' })
  await add(page, `${content}\nimport { createApp } from 'vue'\ncreateApp(App).mount('main')`)
  await shows(page, 'h2', 'Orders (connected)')
  await ship(user, 'one')
  await ship(user, 'two')
  await shows(page, 'li', 'one|two')
  assert.deepEqual(page.failures, [])
})

test('Node', async () => {
  const user = newUser()
  const stored = []
  globalThis.stored = async (it) => { stored.push(it.content) }
  const { fetch } = globalThis
  globalThis.fetch = async (url, init) => url === '/session/push-token' ? Response.json({ token: pushToken(user, SECRET) }) : fetch(url, init)
  const { client } = await inNode('node', `${take('node')}\nexport { client }`)
  keep({ stop: () => client.disconnect() })
  await carillon.send(user, 'one')
  await until(() => stored.length === 1, () => client.state)
  client.disconnect()
  globalThis.fetch = fetch
  assert.deepEqual(stored, ['one'])
})

test('channels', async () => {
  const user = newUser()
  const page = await pageOf(user, { body: LIST })
  await add(page, CLIENT + take('channels'))
  await isConnected(page)
  await until(async () => {
    await carillon.call('POST', '/api/notifications/broadcast', { channel: 'orders', notification_type: 'order.new', content: 'number 7' })
    return (await page.locator('li').allTextContents()).includes('number 7')
  }, () => 'nothing came')
  const other = await pageOf(user, { body: LIST })
  await add(other, CLIENT + take('channels').replace("'orders'", "'private:orders'"))
  await shows(other, 'li', 'not allowed here: channel_forbidden')
})

test('a banner that does not flicker', async () => {
  const user = newUser()
  const page = await pageOf(user, { body: '<p id="banner" hidden>offline</p>' })
  await add(page, `${CLIENT}const banner = document.querySelector('#banner')\n${take('banner')}`)
  await isConnected(page)
  const isHidden = () => page.locator('#banner').evaluate((it) => it.hidden)
  proxy.reset()
  await sleep(500)
  await isConnected(page)
  assert.equal(await isHidden(), true)
  proxy.isDown = true
  proxy.reset()
  await sleep(1_000)
  assert.equal(await isHidden(), true, 'not yet')
  await until(async () => !await isHidden(), () => 'still hidden')
  proxy.isDown = false
  await isConnected(page)
  assert.equal(await isHidden(), true)
})

test('many tabs', async () => {
  const user = newUser()
  const context = await browser()
  // Of its own: pages of other tests may be on their way back through theirs.
  const between = keep(await Proxy.start(carillon.port))
  const tabs = []
  for (let n = 0; n < 3; n++) {
    const page = await pageOf(user, { body: LIST, context })
    await add(page, `${take('shared', between.url)}\nwindow.client = client\nwindow.given = []\nclient.on('notification', ({ content }) => { given.push(content) })\nclient.connect()`)
    await isConnected(page)
    tabs.push(page)
  }
  await carillon.send(user, 'one')
  for (const page of tabs) await until(() => page.evaluate(() => window.given.join() === 'one'), () => 'not in every tab')
  assert.equal(between.open, 1)
})

test('a network that lets no WebSocket through', async () => {
  const http = keep(await HttpProxy.start(carillon.port))
  const user = newUser()
  const page = await pageOf(user)
  await add(page, `${take('fallback', http.url)}\nwindow.client = client\nwindow.given = []\nclient.on('notification', ({ content }) => { given.push(content) })\nclient.connect()`)
  await isConnected(page)
  await carillon.send(user, 'one')
  await until(() => page.evaluate(() => window.given.join() === 'one'), () => 'nothing came')
  assert.equal(http.refused, 2)
})

test('a notification of the system', async () => {
  const user = newUser()
  const context = await browser()
  await context.grantPermissions(['notifications'], { origin: site })
  pages.set('/test/browser/page', '<title>page</title>')
  const page = await pageOf(user, { context, path: '/test/browser/page' })
  await page.evaluate(async () => {
    Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' })
    await navigator.serviceWorker.register('/test/browser/worker.js')
    // Asked for while it is on its way to the screen, a notification is taken for one that was closed, and Chromium
    // forgets it: it is asked for once, when it has been shown.
    const { prototype } = ServiceWorkerRegistration
    const { showNotification } = prototype
    prototype.showNotification = async function (...args) {
      await showNotification.apply(this, args)
      window.shown = true
    }
  })
  await add(page, CLIENT + take('service-worker'))
  await isConnected(page)
  const id = await ship(user, 'On its way')
  await until(() => page.evaluate(() => window.shown), () => page.failures)
  const shown = await page.evaluate(async () => {
    const notifications = await (await navigator.serviceWorker.ready).getNotifications()
    return notifications.map(({ title, tag }) => [title, tag])
  })
  assert.deepEqual(shown, [['On its way', id]])
})

test('a module for pages that a server renders', async () => {
  const { client } = await inNode('ssr', take('ssr'))
  assert.equal(client.state, 'idle')
})

test('a notification centre', async () => {
  const user = newUser()
  const context = await browser()
  const open = async () => {
    const page = await pageOf(user, { context })
    await add(page, `${CLIENT}${take('centre')}\nwindow.centre = notificationCentre(client, (it) => { window.shown = it })`)
    await isConnected(page)
    return page
  }
  const holds = (page, expected) => until(async () => JSON.stringify(await page.evaluate(() => [window.shown.unread, ...window.shown.all.map((it) => it.content)])) ===
    JSON.stringify(expected), () => page.evaluate(() => JSON.stringify(window.shown)))
  const [one, other] = [await open(), await open()]
  const first = await carillon.send(user, 'first')
  await holds(one, [1, 'first'])
  await carillon.send(user, 'second')
  for (const page of [one, other]) await holds(page, [2, 'second', 'first'])
  await one.evaluate((id) => window.centre.markRead(id), first)
  for (const page of [one, other]) await holds(page, [1, 'second', 'first'])
  await sleep(1_500)
  await one.close()
  await holds(await open(), [1, 'second', 'first'])
  await other.evaluate(() => window.centre.markAllRead())
  await holds(other, [0, 'second', 'first'])
  await other.evaluate(() => window.centre.clear())
  await holds(other, [0])
})

test('what is missing is told, and tests have a world of their own', async () => {
  await inNode('testing', take('testing'))
  const { world, told } = await inNode('gap', `
    import { NotificationClient } from 'carillon-client'
    import { World } from 'carillon-client/testing'
    export const world = new World()
    export const told = []
    const reload = (...what) => { told.push(what) }
    const client = new NotificationClient({ token: world.token('alice'), scope: world.page().scope })
    client.on('notification', () => {})
    ${take('gap')}
    client.connect()`)
  await world.advance(1_000)
  world.server.send('alice', { type: 'test' })
  await world.advance(1_000)
  world.server.lose()
  world.network.cut()
  await world.advance(10_000)
  assert.deepEqual(told[0], [null, 'rewound'])
})

test('every block was run', () => {
  const blocks = text.match(/^ *```\w+$/gm)
  assert.equal(snippets.size, blocks.length, 'each has a name')
  assert.deepEqual([...snippets.keys()].filter((name) => !run.has(name)), [])
})
