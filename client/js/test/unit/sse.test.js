// The client over event streams.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventStream, socketOrStream } from 'carillon-client/sse'
import { createParser } from '../../src/sse/parser.js'
import { createPositions, keyOf } from '../../src/sse/positions.js'
import { connectTab, openTab, sendMany, World } from './setup.js'

/** A tab on streams, connected. */
const onStreams = (world, options, page = world.page()) =>
  connectTab(world, { WebSocket: eventStream({ scope: page.scope }), ...options }, page)

const ackedOf = (world, tab) => world.server.acked('alice', tab.page.scope.localStorage['carillon.device'])

/** A body of the platform's own takes its time. */
const really = () => new Promise((done) => { setTimeout(done, 20) })

test('a stream is read in whatever pieces it comes', () => {
  const text = 'retry: 5\n\nid: 1\nevent: welcome\ndata: {"a":\ndata: 1}\n\n:\n\ndata:x\r\n\r\nid: 2\rdata: y\r\rdata: never ended'
  const events = [{ id: '1', data: '{"a":\n1}' }, { data: 'x' }, { id: '2', data: 'y' }]
  for (let size = 1; size <= text.length; size++) {
    const read = []
    const parse = createParser((event) => { read.push(event) })
    for (let at = 0; at < text.length; at += size) parse(text.slice(at, at + size))
    assert.deepEqual(read, events, `in pieces of ${size}`)
  }
})

test('a position passes over nothing that is not handled, of any log', () => {
  const positions = createPositions()
  assert.equal(positions.came('0'), '0')
  positions.came('1', '', 'a')
  positions.came('2', 'orders', 'x')
  positions.came('3', '', 'b')
  positions.came('4', '', 'c')
  assert.equal(positions.acked('x'), '0')
  assert.equal(positions.acked('b'), '3', 'with what was before it in its log')
  assert.equal(positions.acked('unknown'), '3')
  assert.deepEqual([positions.isSettled(), positions.newest()], [false, '4'])
  assert.equal(positions.acked('c'), '4')
  assert.equal(positions.isSettled(), true)
})

test('a channel is named in ids as gateways name it', () => {
  assert.equal(keyOf('orders'), '325e96ec')
})

test('a connection begins, and notifications come in order', async () => {
  const world = new World()
  const tab = await onStreams(world)
  assert.deepEqual(tab.states.map((it) => it.state), ['connecting', 'recovering', 'connected'])
  const ids = sendMany(world, 5)
  await world.advance(50)
  assert.deepEqual([tab.given, tab.errors], [ids, []])
})

test('a full stream is followed by the next, which acks it, and the page sees nothing of that', async () => {
  const world = new World()
  const tab = await onStreams(world)
  const states = tab.states.length
  const ids = sendMany(world, 1000)
  await world.advance(60_000)
  assert.deepEqual(tab.given, ids)
  assert.deepEqual([tab.states.length, tab.errors, tab.gaps], [states, [], []])
  assert.ok(world.network.handshakes <= 20, `${world.network.handshakes} streams`)
  assert.equal(ackedOf(world, tab), world.server.inbox('alice').entries[959].cursor)
})

test('what no handler took is not acked, until nothing new could come any more', async () => {
  const world = new World()
  const page = world.page()
  const tab = openTab(world, { WebSocket: eventStream({ scope: page.scope }) }, page)
  tab.client.connect()
  await world.advance(100)
  const ids = sendMany(world, 70)
  await world.advance(20_000)
  assert.deepEqual([tab.client.stats.waiting, ackedOf(world, tab)], [64, undefined])
  await world.advance(20_000)
  assert.deepEqual([tab.client.stats.waiting, tab.errors.map((it) => it.code)], [70, ['not_handled']])
  tab.client.on('notification', ({ id }) => { tab.given.push(id) })
  await world.advance(100)
  assert.deepEqual(tab.given, ids)
})

test('a handler that is slow holds the next stream back, and nothing comes twice', async () => {
  const world = new World()
  const page = world.page()
  const tab = openTab(world, { WebSocket: eventStream({ scope: page.scope }) }, page)
  tab.client.on('test', ({ id }) => {
    tab.given.push(id)
    return new Promise((done) => { world.clock.setTimeout(done, 3_000) })
  })
  tab.client.connect()
  await world.advance(100)
  const ids = sendMany(world, 200)
  await world.advance(1_000)
  assert.equal(world.network.handshakes, 1)
  await world.advance(60_000)
  assert.deepEqual([tab.given, tab.errors], [ids, []])
})

test('what was sent while a client was away comes when it is back', async () => {
  const world = new World()
  const tab = await onStreams(world)
  const ids = sendMany(world, 3)
  await world.advance(50)
  world.network.isUp = false
  world.network.cut()
  ids.push(...sendMany(world, 4))
  await world.advance(60_000)
  world.network.isUp = true
  await world.advance(60_000)
  assert.deepEqual([tab.given, tab.client.state, tab.gaps], [ids, 'connected', []])
})

test('a stream that is silent is found out and left', async () => {
  const world = new World()
  const tab = await onStreams(world)
  await world.advance(60_000)
  assert.equal(world.network.handshakes, 1, 'comments are signs of life')
  world.network.isFrozen = true
  const ids = sendMany(world, 2)
  const began = world.clock.now()
  while (tab.client.state === 'connected') await world.advance(1_000)
  assert.ok(world.clock.now() - began <= 86_000, `${world.clock.now() - began} ms`)
  world.network.isFrozen = false
  await world.advance(40_000)
  assert.deepEqual(tab.given, ids)
})

test('channels: joined, refused, left, and recovered exactly', async () => {
  const world = new World()
  world.server.forbidden.add('private:x')
  const tab = await onStreams(world)
  const [joined, refused] = [tab.client.subscribe('orders'), tab.client.subscribe('private:x')]
  refused.catch(() => {})
  await world.advance(500)
  assert.equal((await joined).channel, 'orders')
  await assert.rejects(refused, { code: 'channel_forbidden' })
  assert.equal(world.network.handshakes, 2, 'both with one request')
  const ids = [world.server.publish('orders', { type: 'test' }), ...sendMany(world, 1), world.server.publish(null, { type: 'test' })]
  await world.advance(50)
  world.network.cut()
  ids.push(world.server.publish('orders', { type: 'test' }), world.server.publish(null, { type: 'test' }))
  await world.advance(10_000)
  assert.deepEqual(new Set(tab.given), new Set(ids))
  assert.equal(tab.given.length, ids.length)
  tab.client.unsubscribe('orders')
  world.server.publish('orders', { type: 'test' })
  await world.advance(1_000)
  assert.equal(tab.given.length, ids.length, 'left at once')
  tab.client.subscribe('orders')
  await world.advance(1_000)
  const again = world.server.publish('orders', { type: 'test' })
  await world.advance(100)
  assert.equal(tab.given.at(-1), again)
  assert.deepEqual([tab.errors.map((it) => it.code), tab.gaps], [['channel_forbidden'], []])
})

test('a channel that was left and is joined again begins anew, wherever its stream had come to', async () => {
  const world = new World()
  const tab = await onStreams(world)
  tab.client.subscribe('orders')
  await world.advance(500)
  const publish = () => world.server.publish('orders', { type: 'test' })
  const ids = []
  const cut = () => world.network.cut()
  const away = async () => {
    cut()
    while (tab.client.state === 'connected') await world.advance(1)
  }
  const comingBack = async () => {
    await away()
    while (!world.network.sockets.size) await world.advance(1)
  }
  const nothing = () => {}
  for (const [before, after] of [[nothing, nothing], [nothing, cut], [away, nothing], [comingBack, nothing]]) {
    ids.push(publish(), publish())
    while (tab.given.length < ids.length) await world.advance(1)
    // Given, and acked by no stream yet.
    await before()
    tab.client.unsubscribe('orders')
    publish()
    after()
    publish()
    tab.client.subscribe('orders')
    await world.advance(10_000)
    ids.push(publish())
    await world.advance(100)
    assert.deepEqual([tab.given, tab.gaps, tab.errors], [ids, [], []])
  }
})

test('a channel goes on where a socket, or the page before, had left it', async () => {
  const world = new World()
  const first = await connectTab(world)
  first.client.subscribe('orders')
  await world.advance(100)
  const ids = [1, 2, 3].map(() => world.server.publish('orders', { type: 'test' }))
  await world.advance(1_000)
  first.page.leave()
  ids.push(world.server.publish('orders', { type: 'test' }), ...sendMany(world, 1))
  await world.advance(1_000)
  const page = world.page(first.page.sessionStorage)
  const tab = openTab(world, { WebSocket: eventStream({ scope: page.scope }) }, page)
  tab.client.on('test', ({ id }) => { tab.given.push(id) })
  tab.client.subscribe('orders')
  tab.client.connect()
  await world.advance(2_000)
  assert.deepEqual(new Set(tab.given), new Set(ids.slice(3)))
  assert.deepEqual([tab.given.length, tab.gaps], [2, []])
})

test('a token that ends is followed by another on the next stream', async () => {
  const world = new World()
  const tokens = [world.token(), world.token()]
  const tab = await onStreams(world, { token: undefined, getToken: () => tokens.shift() })
  const renewed = []
  tab.client.on('authenticated', (frame) => { renewed.push(frame.expires_at) })
  world.server.tell({ type: 'token_expiring', expires_at: new Date(world.clock.now() + 60_000).toISOString() })
  await world.advance(1_000)
  assert.deepEqual([renewed.length, tab.client.state, world.network.sockets.size], [1, 'connected', 1])
  const ids = sendMany(world, 2)
  await world.advance(100)
  assert.deepEqual([tab.given, tab.errors], [ids, []])
})

test('a new token that is refused leaves the old stream as it is', async () => {
  const world = new World()
  const bad = world.token()
  world.server.refused.add(bad)
  const tab = await onStreams(world)
  tab.client.setToken(bad)
  await world.advance(1_000)
  const ids = sendMany(world, 1)
  await world.advance(100)
  assert.deepEqual([tab.errors.map((it) => it.code), tab.given, tab.client.state], [['token_refused'], ids, 'connected'])
})

test('a refused token is the end, and what stands in the place of a stream is none', async () => {
  const world = new World()
  const token = world.token()
  world.server.refused.add(token)
  const tab = await onStreams(world, { token })
  assert.deepEqual([tab.client.state, tab.states.at(-1).code, tab.states.at(-1).reason], ['failed', 4001, 'token_signature'])
  const page = world.page()
  page.scope.fetch = async () => new Response('<h1>Sign in to this hotel</h1>', { headers: { 'content-type': 'text/html' } })
  const guest = await onStreams(world, {}, page)
  await really()
  assert.deepEqual([guest.client.state, guest.states.at(-1).reason], ['waiting', 'HTTP 200'])
})

test('who is told to wait comes back when it was told to', async () => {
  const world = new World()
  const page = world.page()
  const { fetch } = page.scope
  const asked = []
  page.scope.fetch = (...request) => {
    asked.push(world.clock.now())
    if (asked.length > 1) return fetch(...request)
    const told = { type: 'disconnect', code: 4103, reason: 'too_many_connections', retry_ms: 8_000 }
    return Promise.resolve(new Response(`retry: 8000\nevent: disconnect\ndata: ${JSON.stringify(told)}\n\n`,
      { headers: { 'content-type': 'text/event-stream' } }))
  }
  const tab = await onStreams(world, {}, page)
  await really()
  assert.deepEqual([tab.client.state, tab.states.at(-1).code], ['waiting', 4103])
  await world.advance(20_000)
  assert.equal(tab.client.state, 'connected')
  assert.ok(asked[1] - asked[0] >= 8_000, `${asked[1] - asked[0]}`)
})

test('a drain: the next stream stands before the old one ends', async () => {
  const world = new World()
  const tab = await onStreams(world)
  await world.advance(10_000)
  const states = tab.states.length
  world.server.drain(10_000)
  const ids = []
  for (let n = 0; n < 150; n++) {
    ids.push(...sendMany(world, 1))
    await world.advance(100)
  }
  assert.deepEqual([tab.given, tab.states.length], [ids, states])
})

test('what can only be said on a socket is answered with an error', async () => {
  const world = new World()
  const tab = await onStreams(world)
  tab.client.send({ type: 'presence' })
  await world.advance(10)
  assert.deepEqual(tab.errors.map((it) => it.code), ['unknown_type'])
})

test('an address of sockets that is not the usual one needs one of streams', async () => {
  const world = new World()
  const tab = await onStreams(world, { url: 'wss://push.example/else' })
  assert.match(tab.errors[0].message, /give the address of the streams/)
  const page = world.page()
  const WebSocket = eventStream({ scope: page.scope, url: 'https://push.example/streams' })
  const named = await onStreams(world, { url: 'wss://push.example/else', WebSocket }, page)
  assert.equal(named.client.state, 'connected')
  tab.client.disconnect()
})

test('disconnect leaves nothing behind', async () => {
  const world = new World()
  const tab = await onStreams(world)
  tab.client.subscribe('orders')
  await world.advance(500)
  tab.client.disconnect()
  await world.advance(30_000)
  assert.deepEqual([world.clock.pending, tab.page.listeners, world.network.sockets.size, world.server.connections.length], [0, 0, 0, 0])
})

test('where no WebSocket passes, streams do, and the next page begins with one', async () => {
  const world = new World()
  world.network.takesSockets = false
  const page = world.page()
  const tab = await connectTab(world, { WebSocket: socketOrStream({ scope: page.scope }) }, page)
  await world.advance(5_000)
  assert.deepEqual([tab.client.state, world.network.handshakes], ['connected', 3])
  const ids = sendMany(world, 2)
  await world.advance(100)
  assert.deepEqual(tab.given, ids)
  page.leave()
  const reloaded = world.page(page.sessionStorage)
  const later = await connectTab(world, { WebSocket: socketOrStream({ scope: reloaded.scope }) }, reloaded)
  assert.deepEqual([later.client.state, world.network.handshakes], ['connected', 4])
})

test('a socket that opens and brings nothing comes to nothing, too', async () => {
  const world = new World()
  const page = world.page()
  class Mute {
    readyState = 0
    constructor() {
      world.clock.setTimeout(() => { this.readyState = 1; this.onopen?.({}) }, 5)
    }
    send() {}
    close() { this.readyState = 3 }
  }
  const tab = await connectTab(world, { WebSocket: socketOrStream({ scope: page.scope, WebSocket: Mute }) }, page)
  await world.advance(180_000)
  assert.equal(tab.client.state, 'connected')
})

test('when a stream breaks a socket is tried again, and one that works is kept', async () => {
  const world = new World()
  world.network.takesSockets = false
  const page = world.page()
  const tab = await connectTab(world, { WebSocket: socketOrStream({ scope: page.scope }) }, page)
  await world.advance(5_000)
  tab.client.subscribe('orders')
  await world.advance(1_000)
  const isOnSocket = () => [...world.network.sockets].every((it) => !it.isStream)
  assert.equal(isOnSocket(), false)
  world.network.takesSockets = true
  const ids = [world.server.publish('orders', { type: 'test' })]
  await world.advance(100)
  world.network.cut()
  ids.push(world.server.publish('orders', { type: 'test' }))
  await world.advance(5_000)
  assert.deepEqual([isOnSocket(), tab.given], [true, ids])
  assert.equal(page.sessionStorage.getItem('carillon.sse'), null)
  // And back to a network that lets none through.
  world.network.takesSockets = false
  world.network.cut()
  ids.push(world.server.publish('orders', { type: 'test' }))
  await world.advance(30_000)
  assert.deepEqual([isOnSocket(), tab.given, tab.gaps], [false, ids, []])
})

test('a refused token is no matter of the network', async () => {
  const world = new World()
  const token = world.token()
  world.server.refused.add(token)
  const page = world.page()
  const tab = await connectTab(world, { token, WebSocket: socketOrStream({ scope: page.scope }) }, page)
  tab.client.connect()
  await world.advance(1_000)
  tab.client.connect()
  await world.advance(1_000)
  assert.ok([...world.network.sockets].every((it) => !it.isStream))
  assert.deepEqual([tab.client.state, tab.states.at(-1).reason], ['failed', 'token_signature'])
})
