"""What a back end does with the official Python SDK, and what the clients of a session see of it."""

import inspect
import unittest
import uuid

from opentok import ArchiveModes, Client, MediaModes, OutputModes, Roles
from opentok import exceptions as refused

from support import Guest, Parlor


class Recorded:
    """The SDK, and which of its methods have been called."""

    def __init__(self, whole):
        self.whole, self.called = whole, set()

    def __getattr__(self, name):
        self.called.add(name)
        return getattr(self.whole, name)


# What calls nobody.
NO_CALLS = {
    *("headers", "json_headers", "get_headers", "get_json_headers", "append_to_user_agent"),
    "validate_websocket_options",
}


def setUpModule():
    global parlor, opentok
    parlor = Parlor()
    opentok = Recorded(client())


def tearDownModule():
    assert parlor.stop() == 0, "SIGTERM ends the server cleanly"
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction)}
    methods = {name for name in methods if not name.startswith("_")}
    assert "create_session" in methods
    missed = methods - opentok.called - NO_CALLS
    assert not missed, f"no test calls {missed}"


def client(**change):
    info = parlor.info | change
    return Client(info["api_key"], info["api_secret"], api_url=info["url"])


def unknown():
    return str(uuid.uuid4())


class Sessions(unittest.TestCase):
    def test_of_every_kind(self):
        for options in [
            {},
            {"media_mode": MediaModes.routed},
            {"media_mode": MediaModes.routed, "e2ee": True},
            {"media_mode": MediaModes.routed, "location": "12.34.56.78"},
            {"media_mode": MediaModes.routed, "archive_mode": ArchiveModes.always},
            {
                "media_mode": MediaModes.routed,
                "archive_mode": ArchiveModes.always,
                "archive_name": "lesson",
                "archive_resolution": "1280x720",
            },
        ]:
            with self.subTest(options):
                self.assertTrue(opentok.create_session(**options).session_id)

    def test_a_wrong_secret_is_refused(self):
        with self.assertRaisesRegex(refused.RequestError, "invalid credentials"):
            client(api_secret="0" * 40).create_session()

    def test_tokens_of_every_role_let_in(self):
        session = opentok.create_session(media_mode=MediaModes.relayed).session_id
        for role in [Roles.publisher, Roles.moderator]:
            for use_jwt in [True, False]:
                with self.subTest(role=role, use_jwt=use_jwt):
                    token = opentok.generate_token(session, role, data="name=Ana", use_jwt=use_jwt)
                    Guest(parlor.info, session, token).leave()


class Live(unittest.TestCase):
    """With somebody in a session. Relayed, where a stream is there as soon as it is published."""

    MEDIA_MODE = MediaModes.relayed

    def setUp(self):
        self.session = opentok.create_session(media_mode=self.MEDIA_MODE).session_id
        self.guest = self.join()

    def join(self):
        guest = Guest(parlor.info, self.session, opentok.generate_token(self.session))
        self.addCleanup(guest.leave)
        return guest


class Calls(Live):
    def test_list_streams_and_get_stream(self):
        streams = opentok.list_streams(self.session)
        self.assertEqual([stream.id for stream in streams], [self.guest.stream])
        stream = opentok.get_stream(self.session, self.guest.stream)
        self.assertEqual((stream.name, stream.videoType), ("cam", "camera"))
        with self.assertRaises(refused.OpenTokException):
            opentok.get_stream(self.session, unknown())

    def test_set_stream_class_lists(self):
        item = {"id": self.guest.stream, "layoutClassList": ["focus", "full"]}
        opentok.set_stream_class_lists(self.session, [item])
        stream = opentok.get_stream(self.session, self.guest.stream)
        self.assertEqual(stream.layoutClassList, ["focus", "full"])
        with self.assertRaises(refused.OpenTokException):
            opentok.set_stream_class_lists(self.session, [item | {"id": unknown()}])

    def test_signals(self):
        opentok.send_signal(self.session, {"type": "chat", "data": "hello"})
        event = self.guest.event("signal", "/signal/")
        self.assertEqual(event["content"], {"type": "chat", "data": "hello"})
        opentok.send_signal(self.session, {"data": "you"}, self.guest.id)
        event = self.guest.event("signal", f"/connection/{self.guest.id}/")
        self.assertEqual(event["content"], {"data": "you"})
        with self.assertWarns(DeprecationWarning):
            opentok.signal(self.session, {"data": "as before"})
        event = self.guest.event("signal", "/signal/")
        self.assertEqual(event["content"], {"data": "as before"})
        for payload, connection in [({}, None), ({"data": "x" * 8193}, None), ({"data": ""}, unknown())]:
            with self.assertRaises(refused.OpenTokException):
                opentok.send_signal(self.session, payload, connection)

    def test_force_disconnect(self):
        other = self.join()
        opentok.force_disconnect(self.session, self.guest.id)
        event = other.event("deleted", f"/connection/{self.guest.id}")
        self.assertEqual(event["reason"], "forceDisconnected")
        with self.assertRaises(refused.OpenTokException):
            opentok.force_disconnect(self.session, self.guest.id)

    def test_mute_stream(self):
        opentok.mute_stream(self.session, self.guest.stream)
        event = self.guest.event("update", f"/stream/{self.guest.stream}")
        self.assertTrue(event["content"]["active"])

    def test_mute_all_and_disable_force_mute(self):
        spared = self.join()
        opentok.mute_all(self.session, [spared.stream])
        self.guest.event("update", f"/stream/{self.guest.stream}")
        self.assertEqual(self.join().state["mute"], {"active": True})
        opentok.disable_force_mute(self.session)
        self.assertNotIn("mute", self.join().state)


class Later(Live):
    """What the server does not do yet is the SDK's own error, once the request is good."""

    MEDIA_MODE = MediaModes.routed

    def test_every_method(self):
        session, some = self.session, unknown()
        token = opentok.generate_token(session, Roles.moderator)
        hls = {"outputs": {"hls": {}, "rtmp": []}}
        page, socket = "https://example.com/page", "wss://example.com/ws"
        calls = [
            (opentok.start_archive, [session], {"name": "n", "output_mode": OutputModes.composed}),
            (opentok.stop_archive, [some], {}),
            (opentok.delete_archive, [some], {}),
            (opentok.get_archive, [some], {}),
            (opentok.list_archives, [], {}),
            (opentok.get_archives, [], {}),
            (opentok.list_archives, [0, 10, session], {}),
            (opentok.add_archive_stream, [some, self.guest.stream], {}),
            (opentok.remove_archive_stream, [some, self.guest.stream], {}),
            (opentok.set_archive_layout, [some, "bestFit"], {"screenshare_type": "pip"}),
            (opentok.start_broadcast, [session, hls], {}),
            (opentok.stop_broadcast, [some], {}),
            (opentok.get_broadcast, [some], {}),
            (opentok.add_broadcast_stream, [some, self.guest.stream], {}),
            (opentok.remove_broadcast_stream, [some, self.guest.stream], {}),
            (opentok.set_broadcast_layout, [some, "custom", "stream {}"], {}),
            (opentok.dial, [session, token, "sip:a@example.com"], {}),
            (opentok.start_render, [session, token, page], {}),
            (opentok.get_render, [some], {}),
            (opentok.stop_render, [some], {}),
            (opentok.list_renders, [], {}),
            (opentok.connect_audio_to_websocket, [session, token, {"uri": socket}], {}),
            (opentok.start_captions, [session, token], {}),
            (opentok.stop_captions, [some], {}),
        ]
        for method, arguments, options in calls:
            with self.subTest(method.__name__):
                with self.assertRaises(refused.RequestError) as raised:
                    method(*arguments, **options)
                self.assertIn("501", str(raised.exception.args))


    def test_tones(self):
        # Here the SDK says nothing of a 5xx, only of a 4xx.
        self.assertIsNone(opentok.play_dtmf(self.session, None, "1p#"))
        with self.assertRaises(refused.OpenTokException):
            opentok.play_dtmf(self.session, unknown(), "1")


if __name__ == "__main__":
    unittest.main()
