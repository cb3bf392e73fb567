/** What the words of receipts mean. */

/** Of one device. */
export const AT_A_DEVICE = {
  queued: 'waits to be given to it, or to be acked',
  delivered: 'the device acked it',
  expired: 'its time passed first',
  retracted: 'it was taken back first',
  replaced: 'another of its collapse key came first',
  dropped: 'the inbox was full and the device, which was away, was passed over; it is told',
  not_addressed: 'the device came after it',
  lost: 'the store lost the part of its history that this was in',
  unknown: 'what would tell is no longer kept',
}

/** Of all devices together. */
export const TOGETHER = {
  queued: 'nobody has acked it yet, and somebody may still be given it',
  delivered: 'every device for which it is has acked it',
  partly_delivered: 'some devices have acked it',
  expired: 'its time passed before anybody had it',
  retracted: 'it was taken back before anybody had it',
  replaced: 'another of its collapse key came before anybody had it',
  dropped: 'the inbox was full before anybody had it',
  lost: 'the store has lost the part of its history that this was in',
  unknown: 'what would tell is no longer kept',
}

/** How good it is. @param {string} status */
export const goodness = (status) => (status === 'delivered' ? 'good' : ['queued', 'partly_delivered'].includes(status) ? 'busy' : ['not_addressed', 'unknown'].includes(status) ? '' : 'bad')

/** A device's name. @param {string | null} device */
export const ofDevice = (device) => device ?? 'no name given'
