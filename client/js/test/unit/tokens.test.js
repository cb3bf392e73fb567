// Tokens: asked for, refused, expired, renewed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UnauthorizedError } from 'carillon-client'
import { connectTab, openTab, sendMany, World } from './setup.js'

/** Gives these, one after the other. */
function source(...tokens) {
  const reasons = []
  const getToken = async ({ reason }) => {
    reasons.push(reason)
    const next = tokens.length > 1 ? tokens.shift() : tokens[0]
    if (next instanceof Error) throw next
    return next
  }
  return { reasons, getToken }
}

test('a token is asked for once, and kept over reconnects', async () => {
  const world = new World()
  const { reasons, getToken } = source(world.token())
  const tab = await connectTab(world, { token: undefined, getToken })
  for (let n = 0; n < 3; n++) {
    world.network.cut()
    await world.advance(5_000)
  }
  assert.equal(tab.client.state, 'connected')
  assert.deepEqual(reasons, ['connect'])
})

test('a refused token is renewed once', async () => {
  const world = new World()
  const [bad, good] = [world.token(), world.token()]
  world.server.refused.add(bad)
  const { reasons, getToken } = source(bad, good)
  const tab = await connectTab(world, { token: undefined, getToken })
  await world.advance(2_000)
  assert.equal(tab.client.state, 'connected')
  assert.deepEqual(reasons, ['connect', 'unauthorized'])
})

test('refused twice is the end, without a loop, and setToken begins anew', async () => {
  const world = new World()
  const [bad, worse] = [world.token(), world.token()]
  world.server.refused.add(bad).add(worse)
  const { reasons, getToken } = source(bad, worse)
  const tab = await connectTab(world, { token: undefined, getToken })
  await world.advance(600_000)
  assert.deepEqual([tab.client.state, reasons, world.network.handshakes], ['failed', ['connect', 'unauthorized'], 2])
  assert.equal(tab.states.at(-1).code, 4001)
  tab.client.setToken(world.token())
  await world.advance(100)
  assert.equal(tab.client.state, 'connected')
})

test('the same token again is not shown again', async () => {
  const world = new World()
  const bad = world.token()
  world.server.refused.add(bad)
  const { getToken } = source(bad)
  const tab = await connectTab(world, { token: undefined, getToken })
  await world.advance(60_000)
  assert.deepEqual([tab.client.state, world.network.handshakes], ['failed', 1])
})

test('a refused token without another is the end', async () => {
  const world = new World()
  const bad = world.token()
  world.server.refused.add(bad)
  const tab = await connectTab(world, { token: bad })
  await world.advance(60_000)
  assert.deepEqual([tab.client.state, world.network.handshakes], ['failed', 1])
})

test('whoever is not signed in is not asked again', async () => {
  const world = new World()
  const { reasons, getToken } = source(new UnauthorizedError('sign in first'))
  const tab = await connectTab(world, { token: undefined, getToken })
  await world.advance(60_000)
  assert.deepEqual([tab.client.state, reasons.length, tab.errors[0].code], ['failed', 1, 'unauthorized'])
})

test('a source that fails for a while is asked again', async () => {
  const world = new World()
  const { getToken } = source(new Error('503'), undefined, world.token())
  const tab = await connectTab(world, { token: undefined, getToken })
  await world.advance(10_000)
  assert.equal(tab.client.state, 'connected')
  assert.deepEqual(tab.errors.map((it) => it.code), ['connect_failed', 'token_missing'])
})

test('a source that never answers is given up', async () => {
  const world = new World()
  let asked = 0
  const tab = openTab(world, { token: undefined, getToken: () => { asked++; return new Promise(() => {}) }, backoff: { jitter: false } })
  tab.client.connect()
  await world.advance(15_500)
  assert.deepEqual([tab.states.find((it) => it.reason === 'timeout')?.state, asked], ['waiting', 1])
  await world.advance(1_000)
  assert.equal(asked, 2, 'and asked anew')
})

test('a token that ends is renewed on the same connection', async () => {
  const world = new World()
  const { reasons, getToken } = source(world.token(), world.token())
  const tab = await connectTab(world, { token: undefined, getToken })
  world.server.tell({ type: 'token_expiring', expires_at: new Date(world.clock.now() + 60_000).toISOString() })
  await world.advance(100)
  assert.deepEqual(reasons, ['connect', 'expiring'])
  assert.equal(world.server.heard.at(-1).type, 'auth')
  assert.deepEqual([tab.client.state, world.network.handshakes], ['connected', 1])
})

test('4201: another token, and back at once', async () => {
  const world = new World()
  const { reasons, getToken } = source(world.token(), world.token())
  const tab = await connectTab(world, { token: undefined, getToken })
  await world.advance(10_000)
  world.server.close(4201, 'token_expired')
  await world.advance(100)
  assert.deepEqual([tab.client.state, reasons], ['connected', ['connect', 'expiring']])
})

test('an expired token is not shown after a sleep', async () => {
  const world = new World()
  const tokens = []
  const getToken = () => { tokens.push(world.token('alice', 600_000)); return tokens.at(-1) }
  const tab = await connectTab(world, { token: undefined, getToken })
  world.network.cut()
  world.clock.sleep(3_600_000)
  const ids = sendMany(world, 1)
  await world.advance(5_000)
  assert.deepEqual([tab.given, tokens.length], [ids, 2])
  assert.ok(tab.states.every((it) => it.code !== 4001))
})

test('a token of another user begins with an inbox of its own', async () => {
  const world = new World()
  const tab = await connectTab(world)
  sendMany(world, 3)
  await world.advance(1_000)
  tab.client.disconnect()
  tab.client.setToken(world.token('bob'))
  const ids = sendMany(world, 2, 'bob')
  tab.client.connect()
  await world.advance(1_000)
  assert.deepEqual(tab.given.slice(3), ids)
  assert.deepEqual(tab.gaps, [])
})
