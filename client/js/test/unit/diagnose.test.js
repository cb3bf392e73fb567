// Why a page cannot connect, put into words.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diagnose } from 'carillon-client/diagnose'
import { World } from './setup.js'

/** What is found in a page of this world; `answer` is what HTTP says. */
async function found(world, options = {}, answer = () => Promise.reject(new TypeError('Failed to fetch'))) {
  const page = world.page()
  const asked = []
  const fetch = (url) => {
    asked.push(url)
    return answer()
  }
  const scope = { ...page.scope, fetch, ...options.scope }
  const finding = diagnose({ url: 'wss://push.example', token: world.token(), ...options, scope })
  await world.advance(60_000)
  assert.equal(page.listeners, 0, 'nothing listens any more')
  return { ...await finding, asked }
}

test('where all is well it says how long it took, and leaves nothing behind', async () => {
  const world = new World()
  const { ok, code, ms, asked } = await found(world)
  assert.deepEqual([ok, code, asked], [true, 'ok', []])
  assert.ok(ms > 0 && ms < 100, `${ms}`)
  assert.equal(world.network.sockets.size, 0)
})

test('what is wrong before anything is sent', async () => {
  const world = new World()
  for (const [options, code] of [
    [{ url: 'ftp://push.example' }, 'invalid_url'],
    [{ url: 'ws://push.example', scope: { location: new URL('https://app.example/') } }, 'mixed_content'],
    [{ scope: { WebSocket: undefined } }, 'no_websocket'],
    [{ token: undefined }, 'no_token'],
    [{ token: undefined, getToken: async () => { throw new Error('signed out') } }, 'no_token'],
  ]) assert.equal((await found(world, options)).code, code)
  assert.equal(world.network.handshakes, 0)
})

test('a token that is refused: the gateway says why', async () => {
  const world = new World()
  const token = world.token()
  world.server.refused.add(token)
  const { ok, code, message } = await found(world, { token })
  assert.deepEqual([ok, code], [false, 'token_refused'])
  assert.match(message, /refuses the token: \w+/)
})

test('nothing answers, and what may be the reason', async () => {
  const world = new World()
  world.network.isUp = false
  assert.equal((await found(world)).code, 'unreachable')
  assert.equal((await found(world, { scope: { navigator: { onLine: false } } })).code, 'offline')
  const hanging = await found(world, {}, () => new Promise(() => {}))
  assert.equal(hanging.code, 'unreachable')
  assert.deepEqual(hanging.asked, ['https://push.example/ws/notifications'])
})

test('a policy that forbids sockets, or only HTTP: an event says so', async () => {
  let violate
  const scope = { addEventListener: (_, it) => { violate = it }, removeEventListener() {} }
  const mute = class {
    readyState = 0
    constructor() { queueMicrotask(() => violate({})) }
    close() { this.readyState = 3 }
  }
  const world = new World()
  assert.equal((await found(world, { WebSocket: mute, scope })).code, 'blocked_by_policy')
  world.network.isUp = false
  const only = await found(world, { scope }, () => {
    violate({})
    return Promise.reject(new TypeError('Failed to fetch'))
  })
  assert.equal(only.code, 'blocked_by_policy')
})

test('HTTP passes and WebSockets do not', async () => {
  const world = new World()
  world.network.isUp = false
  for (const [status, code] of [[0, 'handshake_failed'], [426, 'handshake_failed'], [404, 'not_a_gateway'], [502, 'unavailable'], [503, 'unavailable']]) {
    assert.equal((await found(world, {}, async () => ({ status }))).code, code, `${status}`)
  }
})

test('a socket that opens and says nothing', async () => {
  const world = new World()
  const finding = diagnose({ url: 'wss://push.example', token: world.token(), scope: world.page().scope })
  // It is open, and the first frame is on its way.
  await world.advance(2 * world.network.latency + 1)
  world.network.isFrozen = true
  await world.advance(60_000)
  assert.equal((await finding).code, 'silent')
})
