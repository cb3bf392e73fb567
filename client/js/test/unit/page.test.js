// What a page goes through: hidden, asleep, offline, cached, reloaded, duplicated.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeStorage } from 'carillon-client/testing'
import { connectTab, openTab, sendMany, World } from './setup.js'

test('hidden for six minutes, with timers once a minute', async () => {
  const world = new World()
  const tab = await connectTab(world)
  tab.page.hide()
  const ids = []
  for (let minute = 0; minute < 6; minute++) {
    // Nothing runs for a minute, but what the network brings.
    world.clock.sleep(59_000)
    ids.push(...sendMany(world, 2))
    await world.advance(1_000)
  }
  assert.deepEqual(tab.given, ids)
  assert.equal(world.network.handshakes, 1, 'a late timer is no dead socket')
  tab.page.show()
  await world.advance(10_000)
  assert.deepEqual([tab.client.state, world.network.handshakes], ['connected', 1])
})

test('a zombie after a sleep is left within seconds of waking', async () => {
  const world = new World()
  const tab = await connectTab(world)
  tab.page.hide()
  world.network.isFrozen = true
  world.clock.sleep(3_600_000 / 2)
  const ids = sendMany(world, 3)
  // The old socket never hears anything again; new ones work.
  const [zombie] = world.network.sockets
  world.network.sockets.delete(zombie)
  world.network.isFrozen = false
  const began = world.clock.now()
  tab.page.show()
  while (tab.given.length < 3 && world.clock.now() - began < 20_000) await world.advance(100)
  assert.deepEqual(tab.given, ids)
  assert.ok(world.clock.now() - began <= 6_000, `${world.clock.now() - began} ms`)
})

test('a clock that jumps, forth and back, breaks nothing', async () => {
  const world = new World()
  const tab = await connectTab(world, { token: world.token('alice', 365 * 86_400_000) })
  const ids = []
  for (const ms of [7_200_000, -3_600_000, -86_400_000, 60_000, -60_000]) {
    world.clock.jump(ms)
    ids.push(...sendMany(world, 1))
    await world.advance(60_000)
  }
  assert.deepEqual(tab.given, ids)
  assert.deepEqual([tab.client.state, world.network.handshakes], ['connected', 1])
})

test('offline for ten minutes', async () => {
  const world = new World()
  const tab = await connectTab(world)
  world.network.isUp = false
  world.network.isFrozen = true
  tab.page.offline()
  const ids = sendMany(world, 20)
  await world.advance(600_000)
  assert.equal(tab.client.state, 'offline')
  const before = world.network.handshakes
  world.network.isUp = true
  world.network.isFrozen = false
  tab.page.online()
  await world.advance(1_000)
  assert.equal(tab.client.state, 'connected')
  assert.deepEqual(tab.given, ids)
  assert.equal(world.network.handshakes, before + 1)
})

test('back to the page: at once, whatever the pause was', async () => {
  const world = new World()
  world.network.isUp = false
  const tab = openTab(world)
  tab.client.connect()
  await world.advance(300_000)
  world.network.isUp = true
  tab.page.show()
  await world.advance(1_000)
  assert.equal(tab.client.state, 'connected')
})

test('into the cache of pages and out of it', async () => {
  const world = new World()
  const tab = await connectTab(world)
  sendMany(world, 2)
  await world.advance(50)
  tab.page.leave()
  await world.advance(1_000)
  assert.equal(world.network.sockets.size, 0, 'a page with an open socket is not cached')
  assert.deepEqual([tab.client.state, tab.states.at(-1).reason], ['waiting', 'page_hidden'])
  sendMany(world, 2)
  await world.advance(3_600_000 / 4)
  assert.equal(world.network.handshakes, 1, 'it sleeps')
  tab.page.comeBack()
  await world.advance(1_000)
  assert.deepEqual([tab.client.state, tab.given.length], ['connected', 4])
  assert.equal(Object.keys(tab.page.sessionStorage).length, 0)
})

test('a reload goes on where the page was, under the same session', async () => {
  const world = new World()
  const before = await connectTab(world)
  const [{ session }] = world.server.connections
  const ids = sendMany(world, 3)
  await world.advance(1)
  ids.push(...[1, 2].map(() => world.server.publish(null, { type: 'all' })))
  await world.advance(5)
  // Some are handled and not acked, some are under way.
  before.page.leave()
  const after = await connectTab(world, {}, world.page(before.page.sessionStorage))
  ids.push(...sendMany(world, 1))
  await world.advance(100)
  assert.equal(world.server.connections[0].session, session)
  assert.deepEqual([...before.given, ...after.given], ids)
  assert.ok(before.given.length > 0 && after.given.length > 0)
})

test('a reload that waits for its token while the page is shown goes on there, too', async () => {
  const world = new World()
  const before = await connectTab(world)
  before.client.subscribe('orders')
  await world.advance(100)
  before.page.leave()
  const id = world.server.publish('orders', { type: 'test' })
  const page = world.page(before.page.sessionStorage)
  let give
  const getToken = () => new Promise((resolve) => { give = resolve })
  const after = await connectTab(world, { token: undefined, getToken }, page)
  // As every page is that is loaded; the one before has left where it was for this one.
  page.show()
  give(world.token())
  after.client.subscribe('orders')
  await world.advance(100)
  assert.deepEqual(after.given, [id])
})

test('whoever connects after a disconnect is asked for a token', async () => {
  const world = new World()
  const users = ['alice', 'bob']
  const tab = await connectTab(world, { token: undefined, getToken: async () => world.token(users.shift()) })
  assert.equal(world.server.connections[0].user, 'alice')
  tab.client.disconnect()
  tab.client.connect()
  await world.advance(1_000)
  assert.deepEqual(world.server.connections.map((it) => it.user), ['bob'])
})

test('a reload in the middle of a replay', async () => {
  const world = new World()
  const ids = sendMany(world, 500)
  const before = openTab(world)
  before.client.on('notification', ({ id }) => {
    before.given.push(id)
    if (before.given.length === 200) queueMicrotask(() => before.page.leave())
  })
  before.client.connect()
  await world.advance(100)
  const after = await connectTab(world, {}, world.page(before.page.sessionStorage))
  assert.deepEqual([...before.given, ...after.given], ids)
})

test('what waits for a handler comes again after a reload', async () => {
  const world = new World()
  const before = openTab(world)
  before.client.on('test', ({ id }) => { before.given.push(id) })
  before.client.connect()
  await world.advance(100)
  const ids = [...sendMany(world, 2), world.server.send('alice', { type: 'other' }), ...sendMany(world, 2)]
  await world.advance(1_000)
  before.page.leave()
  const after = await connectTab(world, {}, world.page(before.page.sessionStorage))
  assert.deepEqual(after.given, [ids[2]])
  assert.equal(before.given.length, 4)
})

test('a duplicated tab is a tab of its own', async () => {
  const world = new World()
  const one = await connectTab(world)
  sendMany(world, 3)
  await world.advance(1_000)
  const other = await connectTab(world, {}, world.page(new FakeStorage(one.page.sessionStorage)))
  const ids = sendMany(world, 3)
  await world.advance(1_000)
  assert.deepEqual([one.given.slice(3), other.given], [ids, ids])
  assert.equal(new Set(world.server.connections.map((it) => it.session)).size, 2)
  assert.equal(new Set(world.server.connections.map((it) => it.device)).size, 1)
})

test('a frozen tab that was duplicated, or discarded', async () => {
  const world = new World()
  const one = await connectTab(world)
  sendMany(world, 2)
  await world.advance(1_000)
  one.page.freeze()
  // What it kept is copied, so both have the same session for a moment.
  const other = await connectTab(world, {}, world.page(new FakeStorage(one.page.sessionStorage)))
  one.page.resume()
  await world.advance(10_000)
  const ids = sendMany(world, 2)
  await world.advance(1_000)
  assert.deepEqual([one.given.slice(2), other.given], [ids, ids])
  assert.equal(world.server.connections.length, 2)
})

test('two tabs of a device: one is frozen while the other acks', async () => {
  const world = new World()
  const [one, other] = [await connectTab(world), await connectTab(world)]
  const ids = sendMany(world, 2)
  await world.advance(1_000)
  other.page.freeze()
  world.server.close(4008, 'idle', (it) => it.session === world.server.connections[1].session)
  await world.advance(10)
  ids.push(...sendMany(world, 40))
  await world.advance(600_000)
  other.page.resume()
  await world.advance(5_000)
  assert.deepEqual([one.given, other.given, other.gaps], [ids, ids, []])
})

test('another user in the same tab is told no gap', async () => {
  const world = new World()
  const alice = await connectTab(world)
  sendMany(world, 3)
  await world.advance(1_000)
  alice.page.leave()
  const ids = sendMany(world, 2, 'bob')
  const bob = await connectTab(world, { token: world.token('bob') }, world.page(alice.page.sessionStorage))
  assert.deepEqual([bob.given, bob.gaps], [ids, []])
})

test('where nothing can be stored it works as well', async () => {
  const world = new World()
  const page = world.page()
  const forbidden = { get: () => { throw new DOMException('no', 'SecurityError') } }
  Object.defineProperty(page.scope, 'localStorage', forbidden)
  Object.defineProperty(page.scope, 'sessionStorage', forbidden)
  const tab = await connectTab(world, {}, page)
  const ids = sendMany(world, 2)
  await world.advance(100)
  page.leave()
  page.comeBack()
  ids.push(...sendMany(world, 1))
  await world.advance(1_000)
  assert.deepEqual(tab.given, ids)
  assert.equal(tab.errors.length, 0)
})

test('where there is no page at all: a worker, Node, a server that renders', async () => {
  const world = new World()
  const { Date, Math, setTimeout, clearTimeout, WebSocket } = world.page().scope
  const tab = await connectTab(world, { scope: { Date, Math, setTimeout, clearTimeout, WebSocket }, device: 'worker' })
  const ids = sendMany(world, 2)
  await world.advance(300_000)
  world.network.cut()
  ids.push(...sendMany(world, 1))
  await world.advance(5_000)
  assert.deepEqual(tab.given, ids)
})
