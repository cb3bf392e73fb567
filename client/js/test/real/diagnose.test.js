// What a real gateway answers, and what is behind no gateway.
import { createServer } from 'node:http'
import { once } from 'node:events'
import { test } from 'node:test'
import { diagnose } from 'carillon-client/diagnose'
import { assert, keep, newUser, start, token, WebSocket } from './setup.js'
import { freePort } from './server.js'

const { proxy } = await start()
const found = (url, user = newUser(), more = {}) => diagnose({ url, token: token(user, more), WebSocket })

test('a gateway that is there', async () => {
  const { ok, code, ms } = await found(proxy.url)
  assert.deepEqual([ok, code, ms < 10_000], [true, 'ok', true])
})

test('a token that has ended', async () => {
  const { code, message } = await found(proxy.url, newUser(), { lifetime: -3_600 })
  assert.equal(code, 'token_refused')
  assert.match(message, /token_expired/)
})

test('another path, another port', async () => {
  assert.equal((await found(`${proxy.url}/else`)).code, 'not_a_gateway')
  assert.equal((await found(`ws://127.0.0.1:${await freePort()}`)).code, 'unreachable')
})

test('proxies that pass on no upgrade, or have nothing behind them', async () => {
  for (const [status, expected] of [[426, 'handshake_failed'], [400, 'handshake_failed'], [502, 'unavailable']]) {
    const server = createServer((_, response) => response.writeHead(status).end())
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    keep({ stop: () => server.close() })
    assert.equal((await found(`ws://127.0.0.1:${server.address().port}`)).code, expected, `${status}`)
  }
})
