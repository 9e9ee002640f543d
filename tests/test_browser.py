"""Pages in a real browser: they load, filter, slide, and give the marks."""

import os
import shutil

import pytest

import pages
from bfjax.logbook import runpage

_WHY = "needs selenium: pip install -e '.[browser]'"
webdriver = pytest.importorskip('selenium.webdriver', reason=_WHY)
ui = pytest.importorskip('selenium.webdriver.support.ui', reason=_WHY)
_BROWSERS = 'chromium', 'chromium-browser', 'google-chrome'
BROWSER = next(filter(None, map(shutil.which, _BROWSERS)), None)
DRIVER = shutil.which('chromedriver')

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason='needs Chromium and chromedriver: apt-get install chromium-driver',
  ),
]


@pytest.fixture(scope='module')
def downloads(tmp_path_factory):
  return tmp_path_factory.mktemp('downloads')


@pytest.fixture(scope='module')
def chromium(downloads):
  options = webdriver.ChromeOptions()
  options.binary_location = BROWSER
  for flag in ('headless=new', 'no-sandbox', 'disable-dev-shm-usage'):
    options.add_argument(f'--{flag}')
  options.add_experimental_option(
    'prefs', {'download.default_directory': str(downloads)}
  )
  options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
  service = webdriver.ChromeService(executable_path=DRIVER)
  driver = webdriver.Chrome(options=options, service=service)
  yield driver
  driver.quit()


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run')
  source = pages.make_source()
  pages.write_run(workdir, source)
  return runpage.write(workdir, source, source.labels)


@pytest.fixture
def page(chromium, path):
  chromium.get(path.as_uri())
  chromium.execute_script('localStorage.clear()')
  chromium.refresh()
  yield chromium
  assert chromium.get_log('browser') == []


def set_value(page, selector, value, event='input'):
  page.execute_script(
    """const [selector, value, event] = arguments;
    const element = document.querySelector(selector);
    element.value = value;
    for (const name of [event, 'change'])
      element.dispatchEvent(new Event(name, {bubbles: true}));""",
    *(selector, value, event),
  )


def cards(page):
  """The rows that are shown, in order."""
  shown = page.find_elements('css selector', '.card:not([hidden])')
  return [int(x.get_attribute('data-row')) for x in shown]


def test_strangers_names_are_text_alone(page):
  assert page.title.startswith('Training of run')
  given = {
    x.text for x in page.find_elements('css selector', '.side.given bdi')
  }
  assert any('<script>alert(1)</script>' in x for x in given)
  assert page.execute_script('return document.scripts.length') == 1
  loaded = page.execute_script(
    'return performance.getEntriesByType("resource").filter('
    '(x) => !x.name.startsWith("data:")).length'
  )
  assert loaded == 0


def test_the_slider_shows_an_epoch(page):
  shown = '.slides figure:not([hidden])'
  (figure,) = page.find_elements('css selector', shown)
  assert figure.get_attribute('data-name') == '3'
  slider = page.find_element('css selector', '.slides input')
  slider.send_keys(webdriver.Keys.ARROW_LEFT)
  (figure,) = page.find_elements('css selector', shown)
  assert figure.get_attribute('data-name') == '2'
  assert page.find_element('css selector', '.slides output').text == '2'


def test_rows_are_filtered_and_sorted(page):
  every = set(pages.CORRECTED.tolist())
  assert set(cards(page)) == every
  set_value(page, '[name=first]', '3')
  assert set(cards(page)) == {x for x in every if 1 + x % 3 >= 3}
  set_value(page, '[name=first]', '0')
  set_value(page, '[name=class]', 'SCRIPT>ALERT')
  assert set(cards(page)) == {x for x in every if x < 20 or x >= 100}
  set_value(page, '[name=class]', '')
  set_value(page, '[name=sort]', '-since')
  since = [1 + x % 3 for x in cards(page)]
  assert since == sorted(since, reverse=True)
  set_value(page, '[name=sort]', 'row')
  assert cards(page) == sorted(every)


def test_marks_are_made_by_keyboard_kept_and_downloaded(page, downloads):
  set_value(page, '[name=sort]', 'row')
  keys = webdriver.ActionChains(page)
  keys.send_keys('j', 'j', webdriver.Keys.ENTER).perform()
  assert page.switch_to.active_element.get_attribute('aria-pressed') == 'true'
  page.refresh()
  marked = page.find_elements('css selector', '.card.marked')
  assert [x.get_attribute('data-row') for x in marked] == ['5']
  last = page.find_element('css selector', '[data-row="80"] .mark')
  page.execute_script('arguments[0].click()', last)
  page.find_element('css selector', '[name=save]').click()
  found = ui.WebDriverWait(page, 20).until(
    lambda _: list(downloads.glob('*.tsv'))
  )
  images = pages.Images()
  lines = [
    'row\tpath\tmark',
    *(f'{x}\t{images.name(x)}\twrong' for x in (5, 80)),
  ]
  expected = ''.join(f'{x}\n' for x in lines)
  assert found[0].read_bytes() == os.fsencode(expected)


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_it_fits_a_phone_in_both_colour_schemes(page, scheme):
  size = {'width': 380, 'height': 800, 'deviceScaleFactor': 1, 'mobile': True}
  page.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
  wanted = [{'name': 'prefers-color-scheme', 'value': scheme}]
  page.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': wanted})
  try:
    width, cut_off, colour = page.execute_script(
      'return [document.documentElement.scrollWidth,'
      ' [...document.querySelectorAll(".card, .case, .controls")].filter('
      '(x) => x.scrollWidth > x.clientWidth + 1).length,'
      ' getComputedStyle(document.body).backgroundColor]'
    )
  finally:
    page.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})
  assert (width, cut_off) == (380, 0)
  is_dark = int(colour.removeprefix('rgb(').split(',')[0]) < 128
  assert is_dark == (scheme == 'dark')
