// What becomes of notifications when connections break.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectTab, openTab, sendMany, World } from './setup.js'

test('a connection begins, and notifications come in order', async () => {
  const world = new World()
  const tab = await connectTab(world)
  assert.deepEqual(tab.states.map((it) => it.state), ['connecting', 'recovering', 'connected'])
  const ids = sendMany(world, 5)
  await world.advance(50)
  assert.deepEqual(tab.given, ids)
})

test('what was sent while a client was away comes when it is back', async () => {
  const world = new World()
  const tab = await connectTab(world)
  const ids = sendMany(world, 3)
  await world.advance(50)
  world.network.isUp = false
  world.network.cut()
  ids.push(...sendMany(world, 4))
  await world.advance(60_000)
  world.network.isUp = true
  await world.advance(60_000)
  assert.deepEqual(tab.given, ids)
  assert.equal(tab.client.state, 'connected')
  assert.equal(tab.gaps.length, 0)
})

test('recovery needs no notification before it', async () => {
  const world = new World()
  const tab = await connectTab(world, { device: undefined, storage: null })
  world.network.cut()
  const ids = sendMany(world, 2)
  await world.advance(5_000)
  assert.deepEqual(tab.given, ids)
})

test('a thousand breaks lose nothing and repeat nothing', async () => {
  const world = new World(7)
  const tab = await connectTab(world)
  const ids = []
  for (let round = 0; round < 1000; round++) {
    ids.push(...sendMany(world, 1 + round % 3))
    await world.advance(world.random() * 400)
    ids.push(...sendMany(world, round % 2))
    world.network.cut()
    await world.advance(world.random() * 3_000)
  }
  await world.advance(60_000)
  assert.deepEqual(tab.given, ids)
  assert.equal(tab.gaps.length, 0)
  assert.equal(tab.errors.length, 0)
  assert.equal(world.server.acked('alice', tab.page.scope.localStorage['carillon.device']), world.server.inbox('alice').end)
})

test('an ack that died with the socket is given again, without another notification', async () => {
  const world = new World()
  const tab = await connectTab(world)
  const device = tab.page.scope.localStorage['carillon.device']
  const [id] = sendMany(world, 1)
  await world.advance(6)
  assert.deepEqual(tab.given, [id])
  // The ack is on its way.
  world.network.cut()
  await world.advance(5_000)
  assert.deepEqual(tab.given, [id])
  assert.equal(world.server.acked('alice', device), world.server.inbox('alice').end)
})

test('a socket that is silent is found out and left', async () => {
  const world = new World()
  const tab = await connectTab(world)
  world.network.isFrozen = true
  const ids = sendMany(world, 2)
  const began = world.clock.now()
  while (tab.client.state === 'connected') await world.advance(1_000)
  assert.ok(world.clock.now() - began <= 36_000, `${world.clock.now() - began} ms`)
  world.network.isFrozen = false
  await world.advance(40_000)
  assert.deepEqual(tab.given, ids)
})

test('a gap is told, and the client goes on behind it', async () => {
  const world = new World()
  const tab = await connectTab(world)
  sendMany(world, 3)
  await world.advance(50)
  world.server.lose()
  world.network.cut()
  const ids = sendMany(world, 2)
  await world.advance(5_000)
  assert.deepEqual(tab.gaps.map(({ channel, reason }) => [channel, reason]), [[null, 'rewound'], ['*', 'rewound']])
  assert.deepEqual(tab.given.slice(3), ids)
  world.network.cut()
  ids.push(...sendMany(world, 2))
  await world.advance(10_000)
  assert.equal(tab.gaps.length, 2)
  assert.deepEqual(tab.given.slice(3), ids)
})

test('ten thousand at once come in order', async () => {
  const world = new World()
  const ids = sendMany(world, 10_000)
  const tab = await connectTab(world)
  await world.advance(1_000)
  assert.deepEqual(tab.given, ids)
  assert.equal(world.server.acked('alice', tab.page.scope.localStorage['carillon.device']), world.server.inbox('alice').end)
})

test('broadcasts that come again after a break are not given again', async () => {
  const world = new World()
  const tab = await connectTab(world)
  const ids = [1, 2, 3].map(() => world.server.publish(null, { type: 'all' }))
  await world.advance(6)
  world.network.cut()
  ids.push(world.server.publish(null, { type: 'all' }))
  await world.advance(5_000)
  assert.deepEqual(tab.given, ids)
  assert.ok(tab.client.stats.duplicates > 0)
})

test('disconnect leaves nothing behind', async () => {
  const world = new World()
  const tab = await connectTab(world)
  sendMany(world, 3)
  await world.advance(6)
  tab.client.disconnect()
  await world.advance(1_000)
  assert.equal(tab.client.state, 'closed')
  assert.equal(world.clock.pending, 0)
  assert.equal(tab.page.listeners, 0)
  assert.equal(world.network.sockets.size, 0)
  const ids = sendMany(world, 2)
  tab.client.connect()
  tab.client.connect()
  await world.advance(1_000)
  assert.deepEqual(tab.given.slice(3), ids)
  assert.equal(world.network.sockets.size, 1)
})

test('connect twice is once', async () => {
  const world = new World()
  const tab = openTab(world)
  tab.client.connect()
  tab.client.connect()
  await world.advance(100)
  tab.client.connect()
  await world.advance(100)
  assert.equal(world.network.handshakes, 1)
})
