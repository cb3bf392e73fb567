// What happens to tabs in a real Chromium.
import { test } from 'node:test'
import { address, assert, browser, gives, isConnected, newUser, noted, open, site, sleep, start, stateOf, until } from './setup.js'

const { carillon, proxy } = await start({ settings: { CARILLON__SOCKET__PING_INTERVAL: '1s', CARILLON__SOCKET__PONG_TIMEOUT: '800ms' } })

test('a page over resets', async () => {
  const user = newUser()
  const page = await open(await browser(), proxy, user, 'a')
  const ids = []
  for (let round = 0; round < 30; round++) {
    ids.push(...await carillon.sendMany(3, user))
    proxy.reset()
    if (round % 3 === 0) await isConnected(page)
  }
  await gives(page, 'a', ids)
})

test('into the cache of pages, and back', async () => {
  const user = newUser()
  const page = await open(await browser(), proxy, user, 'a')
  const ids = await carillon.sendMany(3, user)
  await gives(page, 'a', ids)
  for (let round = 1; round <= 3; round++) {
    await page.goto(`${site}/else`)
    ids.push(...await carillon.sendMany(3, user))
    // It comes as it was: nothing is loaded.
    await page.goBack({ waitUntil: 'commit' })
    await gives(page, 'a', ids)
    assert.equal((await noted(page, 'cached', 'a')).length, round, 'it came out of the cache')
  }
})

test('reloads in the middle of replays', async () => {
  const user = newUser()
  const context = await browser()
  const page = await open(context, proxy, user, 'a')
  await page.goto(`${site}/else`)
  const ids = await carillon.sendMany(900, user)
  for (let round = 0; round < 15; round++) {
    await page.goto(address(proxy, user, 'a'))
    await sleep(round * 7)
    ids.push(...await carillon.sendMany(2, user))
  }
  await gives(page, 'a', ids)
})

test('reloads while broadcasts come', async () => {
  const user = newUser()
  const page = await open(await browser(), proxy, user, 'a')
  const ids = []
  for (let round = 0; round < 10; round++) {
    ids.push(await carillon.publish(null, round))
    await page.reload()
    ids.push(await carillon.publish(null, round))
    await isConnected(page)
  }
  await gives(page, 'a', ids)
})

test('a handler that is attached three seconds late', async () => {
  const user = newUser()
  const page = await open(await browser(), proxy, user, 'a', { late: '3000' })
  const ids = await carillon.sendMany(5, user)
  await sleep(1_000)
  assert.deepEqual(await noted(page, 'given', 'a'), [])
  await gives(page, 'a', ids)
})

test('a tab that is duplicated is a tab of its own', async () => {
  const user = newUser()
  const context = await browser()
  const one = await open(context, proxy, user, 'a')
  const ids = await carillon.sendMany(3, user)
  await gives(one, 'a', ids)
  await sleep(1_500)
  // A window that a page opens begins with a copy of its session storage, as a duplicated tab does.
  const opened = context.waitForEvent('page')
  await one.evaluate((url) => { window.open(url) }, address(proxy, user, 'b'))
  const other = await opened
  await isConnected(other)
  const more = await carillon.sendMany(3, user)
  await gives(one, 'a', [...ids, ...more])
  await gives(other, 'b', more)
  const { users } = (await carillon.call('GET', '/api/gateways')).gateways[0]
  assert.ok(users >= 1)
})

test('two tabs, of which one is frozen while the other acks', async () => {
  const user = newUser()
  const context = await browser()
  const [one, other] = [await open(context, proxy, user, 'a'), await open(context, proxy, user, 'b')]
  const ids = await carillon.sendMany(3, user)
  await gives(other, 'b', ids)
  const session = await context.newCDPSession(other)
  await session.send('Page.setWebLifecycleState', { state: 'frozen' })
  ids.push(...await carillon.sendMany(30, user))
  await gives(one, 'a', ids)
  await sleep(2_000)
  await session.send('Page.setWebLifecycleState', { state: 'active' })
  await gives(other, 'b', ids)
})

test('offline, and back', async () => {
  const user = newUser()
  const context = await browser()
  const page = await open(context, proxy, user, 'a')
  await context.setOffline(true)
  proxy.isDown = true
  proxy.reset()
  await until(async () => await stateOf(page) === 'offline', () => stateOf(page))
  const ids = await carillon.sendMany(20, user)
  await sleep(3_000)
  proxy.isDown = false
  await context.setOffline(false)
  await gives(page, 'a', ids, 5_000)
})

test('half-open in a browser', async () => {
  const user = newUser()
  const page = await open(await browser(), proxy, user, 'a')
  proxy.freeze()
  const ids = await carillon.sendMany(5, user)
  await gives(page, 'a', ids, 20_000)
})

test('a tab that is closed and opened again', async () => {
  const user = newUser()
  const context = await browser()
  const page = await open(context, proxy, user, 'a')
  const ids = await carillon.sendMany(3, user)
  await gives(page, 'a', ids)
  await sleep(600)
  await page.close()
  ids.push(...await carillon.sendMany(3, user))
  const again = await open(context, proxy, user, 'a')
  await gives(again, 'a', ids)
})
