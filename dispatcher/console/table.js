/**
 * Tables whose rows stay the same elements while what they show changes, so that the focus stays where it is. Where there
 * is little room each row is a list of names and values: what is a table all the same is said by roles.
 */
import { element } from './dom.js'

/**
 * @typedef {{ name: string, about?: string, of: (row: any) => string | Node, number?: boolean, once?: boolean, unseen?: boolean }} Column
 *   `once`: made with the row and left alone then; `unseen`: its name is for those who listen.
 */

/**
 * @param {string} caption
 * @param {Column[]} columns The first one names the row.
 * @param {string} empty What is said where there are no rows.
 */
export function table(caption, columns, empty) {
  const body = element('tbody', { role: 'rowgroup' })
  const heads = columns.map(({ name, about, number, unseen }) => element('th', {
    scope: 'col', role: 'columnheader', class: number ? 'number' : '', title: about,
  }, unseen ? element('span', 'unseen', name) : name))
  const none = element('p', { class: 'empty', hidden: true }, empty)
  const whole = element('table', { role: 'table' }, element('caption', 'unseen', caption),
    element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...heads)), body)
  const explained = columns.filter(({ about }) => about)
  const meaning = explained.length > 0 && element('details', 'meaning', element('summary', '', 'What the columns mean'),
    element('dl', '', ...explained.flatMap(({ name, about }) => [element('dt', '', name), element('dd', '', about)])))
  const scroll = element('div', { class: 'scroll', hidden: true, tabindex: '0', role: 'region', 'aria-label': `Table: ${caption}` }, whole)
  /** @type {Map<string, HTMLTableRowElement>} */
  let shown = new Map()

  return {
    root: element('div', '', scroll, none, meaning),
    body,

    /** @param {any[]} rows @param {(row: any) => string} key Which rows are the same. */
    show(rows, key) {
      const before = shown
      shown = new Map(rows.map((row) => [key(row), before.get(key(row)) ?? made(columns, row)]))
      for (const [name, it] of before) if (!shown.has(name)) it.remove()
      let place = body.firstElementChild
      for (const row of rows) {
        const it = /** @type {HTMLTableRowElement} */ (shown.get(key(row)))
        if (it === place) place = it.nextElementSibling
        else body.insertBefore(it, place)
        fill(columns, it, row)
      }
      scroll.hidden = !rows.length
      none.hidden = rows.length > 0
    },
  }
}

/** @param {Column[]} columns @param {any} row */
function made(columns, row) {
  return element('tr', { role: 'row' }, ...columns.map(({ name, of, number, once, unseen }, at) => element(at ? 'td' : 'th', {
    ...at ? { role: 'cell' } : { scope: 'row', role: 'rowheader' }, class: number ? 'number' : unseen ? 'do' : '', 'data-name': unseen ? '' : name,
  }, once && of(row))))
}

/** @param {Column[]} columns @param {HTMLTableRowElement} it @param {any} row */
function fill(columns, it, row) {
  columns.forEach(({ of, once }, at) => {
    if (once) return
    const cell = it.cells[at]
    const content = of(row)
    if (typeof content !== 'string') cell.replaceChildren(content)
    else if (cell.textContent !== content) cell.textContent = content
  })
}
