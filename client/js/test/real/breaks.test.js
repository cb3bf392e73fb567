// Broken connections, against a real server: nothing is lost, nothing is given twice, the order is kept.
import { test } from 'node:test'
import { assert, gives, keep, listen, newUser, sleep, start, token, until, WebSocket } from './setup.js'

const { carillon, proxy } = await start({ settings: { CARILLON__SOCKET__PING_INTERVAL: '1s', CARILLON__SOCKET__PONG_TIMEOUT: '800ms' } })

test('two hundred resets and closes while notifications come', async () => {
  const user = newUser()
  const it = await listen(proxy, user)
  const ids = []
  for (let round = 0; round < 200; round++) {
    ids.push(...await carillon.sendMany(1 + round % 3, user))
    if (round % 2) proxy.reset()
    else proxy.close()
    if (round % 10 === 0) await until(() => it.client.state === 'connected', () => it.client.state)
  }
  await gives(it, ids)
  assert.deepEqual(it.errors, [])
})

test('recovery without a notification before it', async () => {
  const user = newUser()
  const it = await listen(proxy, user, { device: undefined })
  proxy.reset()
  const ids = await carillon.sendMany(3, user)
  await gives(it, ids)
})

test('half-open: found out, and nothing is missing', async () => {
  const user = newUser()
  const it = await listen(proxy, user)
  const ids = await carillon.sendMany(2, user)
  await gives(it, ids)
  proxy.freeze()
  ids.push(...await carillon.sendMany(5, user))
  await gives(it, ids, 15_000)
})

test('a network that is down for a while', async () => {
  const user = newUser()
  const it = await listen(proxy, user)
  proxy.isDown = true
  proxy.reset()
  const ids = await carillon.sendMany(20, user)
  await sleep(3_000)
  proxy.isDown = false
  await gives(it, ids)
})

test('what was handled while the socket was gone is acked after it', async () => {
  const user = newUser()
  const it = await listen(proxy, user)
  const ids = await carillon.sendMany(5, user)
  await until(() => it.given.length === 5, () => it.given.length)
  proxy.reset()
  await until(() => it.client.state === 'connected', () => it.client.state)
  await sleep(600)
  it.client.disconnect()
  await sleep(300)
  // The device again, as a page that kept nothing: it starts after what was acked.
  const again = await listen(proxy, user)
  ids.push(...await carillon.sendMany(1, user))
  await gives(again, ids.slice(5))
})

test('a handler that is attached three seconds late', async () => {
  const user = newUser()
  const it = await listen(proxy, user, {}, null)
  const ids = await carillon.sendMany(10, user)
  await sleep(3_000)
  assert.equal(it.client.stats.waiting, 10)
  const other = await listen(proxy, user)
  await gives(other, ids)
  it.client.on('test', ({ id }) => { it.given.push(id) })
  await gives(it, ids)
})

test('two tabs of one device, of which one is frozen while the other acks', async () => {
  const user = newUser()
  const [one, other] = [await listen(proxy, user), await listen(proxy, user)]
  const ids = await carillon.sendMany(3, user)
  await gives(other, ids)
  other.client.disconnect()
  ids.push(...await carillon.sendMany(40, user))
  await gives(one, ids)
  await sleep(1_500)
  other.client.connect()
  await gives(other, ids)
})

test('the same, when the other has acked more than is kept: no gap, for the device has it all', async () => {
  const user = newUser()
  const [one, other] = [await listen(proxy, user), await listen(proxy, user)]
  const ids = await carillon.sendMany(3, user)
  await gives(other, ids)
  other.client.disconnect()
  ids.push(...await carillon.sendMany(200, user))
  await gives(one, ids)
  await sleep(1_500)
  other.client.connect()
  await until(() => other.client.state === 'connected', () => other.client.state)
  const last = await carillon.sendMany(2, user)
  await until(() => other.given.includes(last[1]), () => `${other.given.length} given`)
  assert.deepEqual([other.given.slice(-2), other.gaps, new Set(other.given).size], [last, [], other.given.length])
})

test('broadcasts and channels over resets', async () => {
  const user = newUser()
  const it = await listen(proxy, user)
  const channel = `news-${user}`
  await it.client.subscribe(channel)
  const ids = []
  for (let round = 0; round < 20; round++) {
    ids.push(await carillon.publish(channel, round))
    if (round % 2) proxy.reset()
    ids.push(await carillon.publish(channel, round))
    await sleep(50)
  }
  await gives(it, ids)
  for (let round = 0; round < 10; round++) {
    ids.push(await carillon.publish(null, round))
    await until(() => it.client.state === 'connected', () => it.client.state)
    if (round % 2) proxy.reset()
  }
  await gives(it, ids)
})

test('a durable subscription, across clients', async () => {
  const user = newUser()
  const it = await listen(proxy, user, { device: 'durable' })
  const channel = `kept-${user}`
  await it.client.subscribe(channel, { durable: true })
  const ids = [await carillon.publish(channel)]
  await gives(it, ids)
  await sleep(1_500)
  it.client.disconnect()
  await sleep(300)
  ids.push(await carillon.publish(channel), await carillon.publish(channel))
  const later = await listen(proxy, user, { device: 'durable' })
  await gives(later, ids.slice(1))
})

test('a hundred channels, over a reset', async () => {
  const user = newUser()
  const it = await listen(proxy, user)
  await Promise.all(Array.from({ length: 100 }, (_, n) => it.client.subscribe(`${user}-${n}`)))
  proxy.reset()
  const ids = [await carillon.publish(`${user}-0`), await carillon.publish(`${user}-99`)]
  await until(() => it.given.length === 2, () => `${it.given.length} ${it.client.state}`)
  assert.deepEqual(new Set(it.given), new Set(ids))
  assert.deepEqual([it.errors, it.gaps, it.states.filter((event) => event.code === 4101)], [[], [], []])
  await assert.rejects(it.client.subscribe('one-too-many'), { code: 'too_many_channels' })
  it.client.disconnect()
})

test('a token that ends is renewed in its connection', async () => {
  const user = newUser()
  const reasons = []
  const getToken = ({ reason }) => {
    reasons.push(reason)
    return token(user, { lifetime: reasons.length === 1 ? 30 : 3_600 })
  }
  const it = await listen(proxy, user, { token: undefined, getToken })
  await until(() => reasons.length === 2, () => reasons)
  await sleep(300)
  assert.deepEqual([reasons, it.client.state, it.errors], [['connect', 'expiring'], 'connected', []])
})

test('a token that is refused: once more, and then the end', async () => {
  const user = newUser()
  const bad = (n) => token(user, { n }).slice(0, -4) + 'AAAA'
  let asked = 0
  const states = []
  const { NotificationClient } = await import('carillon-client')
  const client = new NotificationClient({ url: proxy.url, getToken: () => bad(++asked), WebSocket })
  keep({ stop: () => client.disconnect() })
  client.on('state', (event) => { states.push(event) })
  client.connect()
  await until(() => client.state === 'failed', () => client.state)
  assert.deepEqual([asked, states.at(-1).code, states.at(-1).willRetry], [2, 4001, false])
  client.setToken(token(user))
  await until(() => client.state === 'connected', () => client.state)
})

test('a session of its own that another connection takes over', async () => {
  const user = newUser()
  const it = await listen(proxy, user, { session: 'mine' })
  const rival = new WebSocket(`${proxy.url}/ws/notifications?session=mine&device=d1`, ['carillon.v1', `bearer.${Buffer.from(token(user)).toString('base64url')}`])
  await until(() => it.client.state === 'failed', () => it.client.state)
  assert.equal(it.states.at(-1).code, 4009)
  rival.terminate()
})
