// Event streams in a real Chromium, from another origin than the page's.
import { test } from 'node:test'
import { HttpProxy } from '../real/http-proxy.js'
import { assert, browser, gives, isConnected, keep, newUser, noted, open, site, sleep, start, until } from './setup.js'

const { carillon, proxy } = await start()

test('notifications, resets, a reload, and the cache of pages', async () => {
  const user = newUser()
  const context = await browser()
  const page = await open(context, proxy, user, 'one', { over: 'streams' })
  const ids = await carillon.sendMany(100, user)
  await gives(page, 'one', ids)
  for (let round = 0; round < 5; round++) {
    ids.push(...await carillon.sendMany(2, user))
    proxy.reset()
    ids.push(...await carillon.sendMany(2, user))
    await gives(page, 'one', ids)
  }
  await page.reload()
  ids.push(...await carillon.sendMany(2, user))
  await isConnected(page)
  await gives(page, 'one', ids)
  await page.goto(`${site}/else`)
  ids.push(...await carillon.sendMany(2, user))
  await page.goBack({ waitUntil: 'commit' })
  await isConnected(page)
  await gives(page, 'one', ids)
})

test('a channel, over a reset and the cache of pages', async () => {
  const user = newUser()
  const context = await browser()
  const page = await open(context, proxy, user, 'one', { over: 'streams' })
  const channel = `news-${user}`
  await page.evaluate((name) => window.client.subscribe(name).then(() => {}), channel)
  const ids = [await carillon.publish(channel, 1)]
  await gives(page, 'one', ids)
  proxy.reset()
  ids.push(await carillon.publish(channel, 2))
  await gives(page, 'one', ids)
  // Left for a moment in which something is missed.
  await page.goto(`${site}/else`)
  ids.push(await carillon.publish(channel, 3))
  await page.goBack({ waitUntil: 'commit' })
  await gives(page, 'one', ids)
})

test('where no upgrade passes a page falls back, and its reload begins there', async () => {
  const http = keep(await HttpProxy.start(carillon.port))
  const user = newUser()
  const context = await browser()
  const page = await open(context, http, user, 'one', { over: 'either' })
  const ids = await carillon.sendMany(10, user)
  await gives(page, 'one', ids)
  assert.equal(http.refused, 2)
  await page.reload()
  await isConnected(page)
  ids.push(...await carillon.sendMany(3, user))
  await gives(page, 'one', ids)
  assert.equal(http.refused, 2)
  assert.equal((await noted(page, 'states', 'one')).includes('failed'), false)
})

test('tabs that share one stream', async () => {
  const http = keep(await HttpProxy.start(carillon.port))
  const user = newUser()
  const context = await browser()
  const [one, other] = [await open(context, http, user, 'one', { over: 'either', shared: 'yes' }),
    await open(context, http, user, 'other', { over: 'either', shared: 'yes' })]
  const ids = await carillon.sendMany(5, user)
  await gives(one, 'one', ids)
  await gives(other, 'other', ids)
  await one.close()
  await until(() => other.evaluate(() => window.client.isLeader), () => 'nobody leads')
  await isConnected(other)
  await sleep(200)
  ids.push(...await carillon.sendMany(5, user))
  await gives(other, 'other', ids)
})
