// Why a page in a real Chromium cannot connect.
import { test } from 'node:test'
import { assert, browser, newUser, site, start, token } from './setup.js'

const { proxy } = await start()

/** What a page finds that has this policy. */
async function found(options, policy = '') {
  const context = await browser()
  const page = await context.newPage()
  await page.goto(`${site}/else`)
  const finding = await page.evaluate(async ([address, given, content]) => {
    const { diagnose } = await import(address)
    if (content) document.head.append(Object.assign(document.createElement('meta'), { httpEquiv: 'Content-Security-Policy', content }))
    return diagnose(given)
  }, [`${site}/src/diagnose.js`, { token: token(newUser()), ...options }, policy])
  await context.close()
  return finding
}

test('a gateway on another host, whose answers over HTTP a page may not read', async () => {
  assert.equal((await found({ url: proxy.url })).code, 'ok')
  assert.equal((await found({ url: proxy.url, token: 'a.b.c' })).code, 'token_refused')
  assert.equal((await found({ url: `${proxy.url}/else` })).code, 'handshake_failed')
  proxy.isDown = true
  assert.equal((await found({ url: proxy.url })).code, 'unreachable')
  proxy.isDown = false
})

test('the page\'s own host, whose answers it may', async () => {
  assert.equal((await found({ url: `${site}/nowhere` })).code, 'not_a_gateway')
})

test('a policy that forbids it', async () => {
  const began = Date.now()
  const { code, message } = await found({ url: proxy.url }, "connect-src 'self'")
  assert.ok(Date.now() - began < 10_000, 'it is not waited for')
  assert.equal(code, 'blocked_by_policy')
  assert.ok(message.includes(`add ${proxy.url} to connect-src`), message)
})
