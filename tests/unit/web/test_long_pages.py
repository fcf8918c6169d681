"""A long page is on the screen before all of it is made, and is whole in the end."""

from tests.pages import site

ROWS = 120
SCREEN_BYTES = 40_000


async def test_a_long_queue_begins_to_be_sent_before_all_of_it_is_made(tmp_path):
    async with site(tmp_path) as s:
        names = [(await s.waiting(amount_minor=500)).name for _ in range(ROWS)]
        app, pieces = s.app, []

        async def noting(scope, receive, send):
            async def note(message):
                if message["type"] == "http.response.body":
                    pieces.append(message["body"])
                await send(message)

            await app(scope, receive, note)

        s.app = noting
        async with await s.signed_in() as browser:
            pieces.clear()
            page = (await browser.get("/")).text

    assert b"".join(pieces).decode() == page
    assert max(len(piece) for piece in pieces) < SCREEN_BYTES
    assert page.rstrip().endswith("</html>")
    assert all(page.count(f'data-name="{name}"') == 1 for name in names)


async def test_a_long_page_is_no_live_page_and_takes_no_place_of_one(tmp_path):
    async with site(tmp_path) as s:
        await s.waiting(amount_minor=500)
        app, counted = s.app, []

        async def counting(scope, receive, send):
            async def note(message):
                counted.append(s.parts.streams.count)
                await send(message)

            await app(scope, receive, note)

        s.app = counting
        async with await s.signed_in() as browser:
            assert (await browser.get("/")).status_code == 200
    assert set(counted) == {0}
