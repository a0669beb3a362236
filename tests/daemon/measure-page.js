// SPDX-License-Identifier: LGPL-2.1-or-later
// What jobs_page.py wants to know of the page that is open: boxes as [left, top, right, bottom] in pixels of the window,
// colours as [red, green, blue, opacity]. The body of a function; it changes nothing.
const box = r => [r.left, r.top, r.right, r.bottom];
const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
const style = element => getComputedStyle(element);

function colour(words) {
    const found = words.match(/^rgba?\((\d+), (\d+), (\d+)(?:, ([\d.]+))?\)$/);
    if (!found)
        throw new Error(`a colour that is not read here: ${words}`);
    return [+found[1], +found[2], +found[3], found[4] === undefined ? 1 : +found[4]];
}

function paperOf(element) {
    for (; element; element = element.parentElement)
        if (colour(style(element).backgroundColor)[3] > 0)
            return colour(style(element).backgroundColor);
    return [255, 255, 255, 1];
}

// In the drawing, text that anything runs through stands on its own halo, or on no colour that could be named.
function groundOf(text, at) {
    const own = style(text), drawn = [...text.ownerSVGElement.querySelectorAll("line, rect, path")];
    const halo = own.paintOrder.startsWith("stroke") && own.stroke !== "none" ? parseFloat(own.strokeWidth) : 0;
    if (halo >= parseFloat(own.fontSize) / 5)
        return colour(own.stroke);
    return drawn.some(shape => !shape.closest("defs") && overlap(box(shape.getBoundingClientRect()), at)) ? null : paperOf(text);
}

function textsOf(root) {
    const texts = [], nodes = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node; (node = nodes.nextNode());) {
        const element = node.parentElement, svg = element.ownerSVGElement, range = document.createRange();
        range.selectNodeContents(node);
        const boxes = svg ? [element.getBoundingClientRect()] : [...range.getClientRects()];
        const seen = boxes.filter(r => r.width > 0 && r.height > 0).map(box);
        if (!node.data.trim() || element.closest("title") || !seen.length)
            continue;
        texts.push({
            text: node.data.trim().slice(0, 200),
            drawn: !!svg,
            boxes: seen,
            frame: svg && box(svg.getBoundingClientRect()),
            px: parseFloat(style(element).fontSize) * (svg ? element.getScreenCTM().a : 1),
            ink: colour(svg ? style(element).fill : style(element).color),
            on: svg ? groundOf(element, seen[0]) : paperOf(element),
        });
    }
    return texts;
}

// Options that a line ends within.
function brokenOf(root) {
    const broken = [], nodes = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node; (node = nodes.nextNode());)
        for (const found of node.data.matchAll(/(?<![^ (])-[-\w]{1,20}/g)) {
            const range = document.createRange();
            range.setStart(node, found.index);
            range.setEnd(node, found.index + found[0].length);
            if (new Set([...range.getClientRects()].map(r => r.top)).size > 1)
                broken.push(found[0]);
        }
    return broken;
}

// Is there what the selector finds, to be seen?
const seen = (selector, root = document) => [...root.querySelectorAll(selector)].some(element => element.checkVisibility());
const keys = [...document.querySelectorAll(".key li")].filter(item => item.checkVisibility());
const shapes = [...document.querySelectorAll("svg .line, svg .limit, svg .mark, svg .band, svg .ink, svg .dot")];
const all = [...document.querySelectorAll("*")];
return {
    window: innerWidth,
    scroll: document.documentElement.scrollWidth,
    zoom: visualViewport.scale,
    paper: paperOf(document.body),
    texts: textsOf(document.body),
    broken: brokenOf(document.body),
    deeds: document.querySelector("table").getBoundingClientRect().top + scrollY,
    drawing: box(document.querySelector("svg").getBoundingClientRect()),
    shapes: shapes.map(shape => ({
        what: shape.getAttribute("class"),
        ink: colour(style(shape).stroke === "none" ? style(shape).fill : style(shape).stroke),
        dash: style(shape).strokeDasharray,
    })),
    bands: [...document.querySelectorAll("svg rect.band")].map(band => ({
        stage: band.querySelector("title").textContent,
        pattern: document.querySelector(band.getAttribute("fill").slice(4, -1)).innerHTML,
        box: box(band.getBoundingClientRect()),
        explained: keys.some(item => item.textContent.trim().endsWith(` ${band.textContent}`) &&
            item.querySelector(".band")?.getAttribute("fill") === band.getAttribute("fill")),
    })),
    // Of what may be drawn: is it, and does the key draw it again?
    keyed: ["used", "cache", "line", "limit", "mark"].map(kind => [
        kind, seen(`svg[role] .${kind}[d]:not([d=""]), svg[role] .${kind}[x1]`), keys.some(item => seen(`.${kind}`, item))]),
    scripts: document.scripts.length,
    handlers: all.filter(element => [...element.attributes].some(a => a.name.startsWith("on"))).length,
    ran: "ran" in window,
};
