// Attempts, pauses, close codes and states.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NotificationClient } from 'carillon-client'
import { connectTab, openTab, sendMany, World } from './setup.js'

test('pauses grow, are spread, and have no end', async () => {
  const world = new World()
  world.network.isUp = false
  const tab = openTab(world, { token: world.token('alice', 86_400_000) })
  tab.client.connect()
  await world.advance(3_600_000)
  const waits = tab.states.filter((it) => it.state === 'waiting').map((it) => it.retryInMs)
  waits.forEach((ms, n) => assert.ok(ms <= Math.min(30_000, 1_000 * 2 ** n), `${n}: ${ms}`))
  assert.ok(waits.length > 200, `${waits.length}`)
  const late = waits.slice(5)
  assert.ok(late.some((ms) => ms < 10_000) && late.some((ms) => ms > 20_000))
  world.network.isUp = true
  await world.advance(31_000)
  assert.equal(tab.client.state, 'connected')
})

test('without jitter and with an end it is the plain client', async () => {
  const world = new World()
  world.network.isUp = false
  const tab = openTab(world, { backoff: { jitter: false, maxAttempts: 10 } })
  tab.client.connect()
  await world.advance(400_000)
  const waits = tab.states.filter((it) => it.state === 'waiting').map((it) => it.retryInMs / 1000)
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30])
  assert.deepEqual([tab.client.state, tab.states.at(-1).willRetry], ['failed', false])
})

test('what a state event tells', async () => {
  const world = new World()
  const tab = await connectTab(world)
  tab.states.length = 0
  world.server.close(4100, 'overloaded')
  await world.advance(10)
  const [event] = tab.states
  assert.deepEqual({ ...event, retryInMs: undefined }, { state: 'waiting', previous: 'connected', code: 4100, reason: 'overloaded',
    attempt: 1, retryInMs: undefined, willRetry: true })
  assert.ok(event.retryInMs >= 1000)
})

for (const [code, state] of [[4003, 'failed'], [4010, 'failed'], [4004, 'failed'], [4008, 'waiting'], [4009, 'waiting'],
  [4100, 'waiting'], [4102, 'waiting'], [4103, 'waiting'], [4200, 'waiting'], [4202, 'waiting'], [4203, 'waiting'],
  [1000, 'waiting'], [1001, 'waiting'], [1006, 'waiting'], [1009, 'waiting'], [1012, 'waiting'], [3000, 'waiting'], [4999, 'waiting']]) {
  test(`${code} leads to ${state}`, async () => {
    const world = new World()
    const tab = await connectTab(world)
    await world.advance(6_000)
    world.server.close(code)
    await world.advance(6)
    assert.equal(tab.states.findLast((it) => it.code === code).state, state)
    await world.advance(6_000)
    assert.equal(tab.client.state, state === 'failed' ? 'failed' : 'connected')
  })
}

test('42xx is at once, but not again and again', async () => {
  const world = new World()
  const tab = await connectTab(world)
  await world.advance(6_000)
  world.server.close(4203)
  await world.advance(30)
  assert.equal(tab.client.state, 'connected')
  for (let n = 0; n < 20; n++) {
    world.server.close(4203)
    await world.advance(100)
  }
  assert.ok(world.network.handshakes < 10, `${world.network.handshakes}`)
})

test('4009 is answered with another session, so that two tabs never fight', async () => {
  const world = new World()
  const tab = await connectTab(world)
  const [{ session }] = world.server.connections
  world.server.close(4009)
  const ids = sendMany(world, 2)
  await world.advance(3_000)
  assert.notEqual(world.server.connections[0].session, session)
  assert.deepEqual(tab.given, ids)
  const named = await connectTab(new World(), { session: 'mine' })
  assert.equal(named.client.state, 'connected')
})

test('a session of the application is not replaced by another', async () => {
  const world = new World()
  const tab = await connectTab(world, { session: 'mine' })
  world.server.close(4009)
  await world.advance(10)
  assert.equal(tab.client.state, 'failed')
})

test('shouldReconnect has the last word', async () => {
  const world = new World()
  const asked = []
  const tab = await connectTab(world, { shouldReconnect: (close) => { asked.push(close); return close.code !== 4203 } })
  world.server.close(4203, 'disconnected')
  await world.advance(100)
  assert.equal(tab.client.state, 'failed')
  assert.deepEqual(asked, [{ code: 4203, reason: 'disconnected', willRetry: true }])
  tab.client.connect()
  await world.advance(100)
  assert.equal(tab.client.state, 'connected')
})

test('a drain: the next connection stands before the old one ends', async () => {
  const world = new World()
  const tab = await connectTab(world)
  await world.advance(10_000)
  const states = tab.states.length
  const drains = []
  tab.client.on('drain', (frame) => { drains.push(frame.deadline_ms) })
  world.server.drain(10_000)
  const ids = []
  for (let n = 0; n < 150; n++) {
    ids.push(...sendMany(world, 1))
    await world.advance(100)
  }
  assert.deepEqual(tab.given, ids)
  assert.equal(tab.states.length, states, 'the page saw nothing of it')
  assert.deepEqual([drains, world.network.handshakes, world.network.sockets.size], [[10_000], 2, 1])
})

test('a drain whose next connection fails, and the old one ends', async () => {
  const world = new World()
  const tab = await connectTab(world)
  await world.advance(10_000)
  world.server.drain(4_000)
  world.network.isUp = false
  const ids = []
  for (let n = 0; n < 100; n++) {
    ids.push(...sendMany(world, 1))
    if (n === 60) world.network.isUp = true
    await world.advance(100)
  }
  await world.advance(30_000)
  assert.deepEqual(tab.given, ids)
  assert.equal(tab.client.state, 'connected')
})

test('4009 on the old socket while the next one opens is no end', async () => {
  const world = new World()
  const tab = await connectTab(world)
  await world.advance(10_000)
  // The old socket hears of the new one before the new one hears its welcome.
  world.network.latency = 200
  world.server.drain(1_000)
  const ids = sendMany(world, 3)
  await world.advance(10_000)
  assert.deepEqual(tab.given, ids)
  assert.equal(tab.client.state, 'connected')
})

test('a handshake that is never answered is given up', async () => {
  const world = new World()
  world.network.isFrozen = true
  const tab = openTab(world)
  tab.client.connect()
  await world.advance(15_500)
  assert.equal(world.network.handshakes >= 1 && tab.states.some((it) => it.reason === 'timeout'), true)
  world.network.isFrozen = false
  await world.advance(20_000)
  assert.equal(tab.client.state, 'connected')
})

test('options that are wrong are named', () => {
  const made = (...options) => () => new NotificationClient(...options)
  assert.throws(made({ tokn: 'x' }), /options\.tokn/)
  assert.throws(made({ token: '' }), /token/)
  assert.throws(made('wss://x.example', 7), /token/)
  assert.throws(() => new NotificationClient('a.b.c').connect(), { code: 'invalid_url', message: /options\.url/ })
  assert.throws(() => new NotificationClient('ftp://x', 'a.b.c').connect(), { code: 'invalid_url' })
  assert.throws(() => new NotificationClient({ url: 'wss://x', token: 'a.b.c', scope: { ...new World().page().scope, WebSocket: undefined } })
    .connect(), { code: 'no_websocket', message: /WebSocket/ })
  assert.throws(() => new NotificationClient('a.b.c').on('test'), /handler/)
})

for (const [url, expected] of [
  ['wss://push.example', 'wss://push.example/ws/notifications'], ['https://push.example/', 'wss://push.example/ws/notifications'],
  ['http://push.example:8080', 'ws://push.example:8080/ws/notifications'], ['wss://push.example/else?a=b', 'wss://push.example/else?a=b'],
  [undefined, 'wss://app.example/ws/notifications'], ['/push', 'wss://app.example/push'],
]) {
  test(`${url} is read as ${expected}`, async () => {
    const world = new World()
    await connectTab(world, { url, device: 'd', session: 's' })
    const [socket] = world.network.sockets
    const at = new URL(socket.url)
    for (const name of ['device', 'session', 'since']) at.searchParams.delete(name)
    assert.equal(at.href, expected)
    assert.equal(socket.url.includes('token'), false)
  })
}

test('the forms of the plain client', async () => {
  const world = new World()
  const { scope } = world.page()
  const token = world.token()
  for (const args of [[token, undefined, { scope }], ['wss://app.example', token, { scope }], [{ token, scope }]]) {
    const client = new NotificationClient(...args)
    client.connect()
    await world.advance(100)
    assert.equal(client.state, 'connected')
    client.disconnect()
  }
})

test('send says whether it was taken', async () => {
  const world = new World()
  const tab = openTab(world)
  assert.equal(tab.client.send({ type: 'ping' }), false)
  tab.client.connect()
  await world.advance(100)
  assert.equal(tab.client.send({ type: 'ping', ref: 7 }), true)
  assert.equal(tab.client.send({ type: 'x', text: 'x'.repeat(70_000) }), false)
  const pong = new Promise((resolve) => { tab.client.once('pong', resolve) })
  await world.advance(100)
  assert.equal((await pong).ref, 7)
})

test('the log sees frames, and no token', async () => {
  const world = new World()
  const seen = []
  const token = world.token()
  const tab = await connectTab(world, { token, log: (direction, frame) => seen.push([direction, frame.type, JSON.stringify(frame)]) })
  tab.client.setToken(world.token())
  sendMany(world, 1)
  await world.advance(1_000)
  assert.deepEqual(seen.map((it) => it.slice(0, 2).join(' ')),
    ['in welcome', 'in replayed', 'out auth', 'in test', 'out ack', 'in authenticated'])
  assert.ok(seen.every((it) => !it[2].includes('eyJ')))
})

test('callbacks that throw disturb nothing', async () => {
  const world = new World()
  const bad = () => { throw new Error('mine') }
  const tab = await connectTab(world, { log: bad, shouldReconnect: bad })
  const ids = sendMany(world, 2)
  await world.advance(100)
  world.network.cut()
  ids.push(...sendMany(world, 2))
  await world.advance(5_000)
  assert.deepEqual(tab.given, ids)
})

test('a drain with nowhere to go: attempts become rare', async () => {
  const world = new World()
  const tab = await connectTab(world)
  await world.advance(10_000)
  world.server.tell({ type: 'reconnect', reason: 'draining', after_ms: 0, spread_ms: 0, deadline_ms: 120_000 })
  world.network.isUp = false
  await world.advance(120_000)
  assert.ok(world.network.handshakes < 30, `${world.network.handshakes}`)
  assert.equal(tab.client.state, 'connected')
})
