// The hooks of React in StrictMode and the composables of Vue, in a real Chromium.
import { test } from 'node:test'
import { build } from 'esbuild'
import { assert, browser, newUser, site, sleep, start, token, until } from './setup.js'

const { carillon, proxy } = await start()

const REACT = `
  import { createElement as h, StrictMode, useState } from 'react'
  import { createRoot } from 'react-dom/client'
  import { NotificationClient } from 'carillon-client'
  import { useChannel, useConnection, useConnectionState, useNotifications } from 'carillon-client/react'
  const client = window.client = new NotificationClient(window.url, window.token)
  const List = () => {
    const all = useNotifications(client, 'test', 5)
    useChannel(client, window.channel)
    return h('ol', null, all.map((it) => h('li', { key: it.id }, it.content)))
  }
  const Badge = () => h('b', null, useNotifications(client, 'test', 5).length)
  const App = () => {
    const [isShown, show] = useState(true)
    window.show = show
    useConnection(client)
    return h('div', null, h('i', null, useConnectionState(client)), h(Badge), isShown && h(List))
  }
  createRoot(document.body).render(h(StrictMode, null, h(App)))`

const VUE = `
  import { createApp, h, ref } from 'vue'
  import { NotificationClient } from 'carillon-client'
  import { useChannel, useConnection, useConnectionState, useNotifications } from 'carillon-client/vue'
  const client = window.client = new NotificationClient(window.url, window.token)
  const List = { setup() {
    const all = useNotifications(client, 'test', 5)
    useChannel(client, window.channel)
    return () => h('ol', all.value.map((it) => h('li', { key: it.id }, it.content)))
  } }
  const Badge = { setup() {
    const all = useNotifications(client, 'test', 5)
    return () => h('b', all.value.length)
  } }
  const isShown = ref(true)
  window.show = (it) => { isShown.value = it }
  createApp({ setup() {
    useConnection(client)
    const state = useConnectionState(client)
    return () => h('div', [h('i', state.value), h(Badge), isShown.value && h(List)])
  } }).mount('body')`

for (const [name, contents] of [['React', REACT], ['Vue', VUE]]) {
  test(`${name}: a list, a badge, a channel and the state`, async () => {
    const { outputFiles: [{ text }] } = await build({ stdin: { contents, resolveDir: '.' }, bundle: true, format: 'iife', write: false,
      define: { 'process.env.NODE_ENV': '"development"' }, logLevel: 'error' })
    const user = newUser()
    const channel = `shown-${user}`
    const page = await (await browser()).newPage()
    const failures = []
    page.on('pageerror', (error) => failures.push(error.message))
    page.on('console', (line) => line.type() === 'error' && failures.push(line.text()))
    await page.goto(`${site}/else`)
    await page.evaluate((values) => Object.assign(window, values), { url: proxy.url, token: token(user), channel })
    const before = proxy.accepted
    await page.addScriptTag({ content: text })
    const shows = (selector, expected) => until(async () => (await page.locator(selector).allTextContents()).join() === expected,
      async () => `${selector} is ${await page.locator(selector).allTextContents()}, not ${expected}`)
    await shows('i', 'connected')
    await carillon.send(user, 'one')
    await shows('li', 'one')
    await shows('b', '1')
    await carillon.publish(channel, 'two')
    await shows('li', 'one,two')
    // Nobody shows the list; the badge still takes what comes, and the channel is left.
    await page.evaluate(() => window.show(false))
    await sleep(300)
    await carillon.publish(channel, 'nobody hears this')
    for (const content of ['three', 'four', 'five', 'six']) await carillon.send(user, content)
    await shows('b', '5')
    await page.evaluate(() => window.show(true))
    await shows('li', 'two,three,four,five,six')
    await carillon.publish(channel, 'seven')
    await shows('li', 'three,four,five,six,seven')
    proxy.reset()
    await carillon.send(user, 'eight')
    await shows('li', 'four,five,six,seven,eight')
    await shows('i', 'connected')
    assert.deepEqual(failures.filter((it) => !it.includes('WebSocket connection')), [])
    assert.ok(proxy.accepted - before <= 4, `${proxy.accepted - before} sockets`)
  })
}

test('React on a server: a page without notifications, and no socket', async () => {
  const { createElement } = await import('react')
  const { renderToString } = await import('react-dom/server')
  const { NotificationClient } = await import('carillon-client')
  const { useConnection, useConnectionState, useNotifications } = await import('carillon-client/react')
  const client = new NotificationClient(token('server'))
  const App = () => {
    useConnection(client)
    return createElement('p', null, `${useConnectionState(client)} ${useNotifications(client).length}`)
  }
  assert.equal(renderToString(createElement(App)), '<p>idle 0</p>')
  assert.equal(client.state, 'idle')
})

test('Vue on a server: the same', async () => {
  const { createSSRApp, h } = await import('vue')
  const { renderToString } = await import('vue/server-renderer')
  const { NotificationClient } = await import('carillon-client')
  const { useConnection, useConnectionState, useNotifications } = await import('carillon-client/vue')
  const client = new NotificationClient(token('server'))
  const app = createSSRApp({ setup() {
    useConnection(client)
    const [state, all] = [useConnectionState(client), useNotifications(client)]
    return () => h('p', `${state.value} ${all.value.length}`)
  } })
  assert.equal(await renderToString(app), '<p>idle 0</p>')
  assert.equal(client.state, 'idle')
})
