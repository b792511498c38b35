//! Values of the tokens as call-tracking platforms show them. Each must be rendered as it is shown.

/// A token and its value per line.
pub(super) const SHOWN: &str = r#"
callid 093cc03c.e6a4.6ac6.978f.740b10afeaca
session_id 5da13c4f-753f-448a-81a1-12456785be20
dialed_time 36
answered_time 29
dialstatus ANSWER
tracking 7774839229
ani 7776734736
call_start_time 2019-03-28T00:05:00.000Z
call_end_time 2019-03-28T00:05:30.000Z
target 7776734700
global_id 0f9cec2d1236e1234d8e123a7adff123
landing_domain example.com
repeat_caller 1
question one
question_link http://app.example.com/prompts-qa/audio/-1/94f17d142e0e861bfa34.wav
response 1
domain_name example.com
campaign_name Sales Campaign
rec_audiourl https://audio.example.com/a.mp3
rec_audiowavurl https://audio.example.com/a.wav
ani_is_valid 1
ani_line_type Mobile
ani_carrier Verizon Wireless
ani_full_name Freddy Krueger
ani_first_name Freddy
ani_middle_name Charles
ani_last_name Krueger
ani_type Single Family
ani_street_line_1 1428 Elm Street
ani_street_line_2 Apt 2
ani_city Springwood
ani_zip 50035
ani_zip4 1001
ani_state Ohio
ani_country_code US
ani_street_number 1428
ani_street_name Elm
ani_street_type St
ani_updated_at 13 Oct 2020 3:15:12 PM
tags {"Region":"south"}
location_name Auto ID
location_address_line_1 157 Main Street
location_address_line_2 Apt 4
location_address_city Los Angeles
location_address_zip 91741
location_address_state CA
account_id 26627332
location_id 3242243
page_id e14eb2bb-b829-4d19-bf5a-da76ccffbf4e
page_converted_on https://www.example.com/about_us.htm
first_page_landed_on https://www.example.com
vehicle_vin 1C6RRFFG9KN909808
vehicle_year 2019
vehicle_make Ram
vehicle_model 1500
referral_domain facebook.com
medium Paid
utm_medium social
utm_campaign sales
utm_content 123
keyword air conditioning
gclid xyz123
ring_count 4
site_id 4567
domain_id 1234
visitor_browser_family Firefox
visitor_browser_version 79
visitor_device Other
visitor_country_code US
visitor_region CA
visitor_city Los Angeles
visitor_ip_address 47.156.108.175
visitor_operating_system Mac OS X
visitor_lat 34.153500
visitor_long -117.845700
"#;
