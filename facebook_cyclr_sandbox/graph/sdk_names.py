"""
The names of fields and edges that Meta's SDK knows, as data.

A field that is named here and has no behaviour is accepted and left out; an edge without
behaviour is one that the caller may not see. Node types have Graph's own names.
"""

from facebook_cyclr_sandbox.origins import inferred, verbatim

verbatim(
    "graph §3",
    "the fields and edges of the eight node types",
    "facebook-business 26.0, adobjects; for Application facebook-business-sdk-codegen, 2026-04",
)
inferred("graph §3", "a known field without a value, or not granted, is left out")

_FIELDS = {
    "Application": (
        "aam_rules an_ad_space_limit an_platforms android_key_hash "
        "android_sdk_error_categories app_domains app_events_config "
        "app_events_feature_bitmask app_events_session_timeout app_install_tracked app_name "
        "app_signals_binding_ios app_type auth_dialog_data_help_url auth_dialog_headline "
        "auth_dialog_perms_explanation auth_referral_default_activity_privacy "
        "auth_referral_enabled auth_referral_extended_perms auth_referral_friend_perms "
        "auth_referral_response_type auth_referral_user_perms auto_event_mapping_android "
        "auto_event_mapping_ios auto_event_setup_enabled auto_log_app_events_default "
        "auto_log_app_events_enabled business canvas_fluid_height canvas_fluid_width "
        "canvas_url category client_config company config_ids configured_ios_sso "
        "contact_email created_time creator_uid daily_active_users daily_active_users_rank "
        "deauth_callback_url default_share_mode description enigma_config financial_id "
        "gdpv4_chrome_custom_tabs_enabled gdpv4_enabled gdpv4_nux_content gdpv4_nux_enabled "
        "has_messenger_product hosting_url icon_url id ios_bundle_id ios_sdk_dialog_flows "
        "ios_sdk_error_categories ios_sfvc_attr ios_supports_native_proxy_auth_flow "
        "ios_supports_system_auth ipad_app_store_id iphone_app_store_id latest_sdk_version "
        "link logging_token logo_url migrations mobile_profile_section_url mobile_web_url "
        "monthly_active_users monthly_active_users_rank name namespace object_store_urls "
        "owner_business page_tab_default_name page_tab_url photo_url privacy_policy_url "
        "profile_section_url property_id protected_mode_rules real_time_mode_devices "
        "restrictions restrictive_data_filter_params restrictive_data_filter_rules "
        "sdk_update_message seamless_login secure_canvas_url secure_page_tab_url "
        "server_ip_whitelist smart_login_bookmark_icon_url smart_login_menu_icon_url "
        "social_discovery subcategory suggested_events_setting supported_platforms "
        "supports_apprequests_fast_app_switch supports_attribution "
        "supports_implicit_sdk_logging suppress_native_ios_gdp terms_of_service_url "
        "url_scheme_suffix user_support_email user_support_url website_url "
        "weekly_active_users"
    ),
    "User": (
        "about age_range birthday client_business_id community cover currency education email "
        "favorite_athletes favorite_teams first_name gender hometown id inspirational_people "
        "install_type installed is_guest_user is_work_account languages last_name link "
        "local_news_megaphone_dismiss_status local_news_subscription_status locale location "
        "meeting_for middle_name name name_format payment_pricepoints political profile_pic "
        "quotes relationship_status religion shared_login_upgrade_required_by short_name "
        "significant_other sports supports_donate_button_in_live_video third_party_id "
        "timezone token_for_business updated_time verified video_upload_limits website"
    ),
    "Page": (
        "about access_token ad_campaign affiliation app_id artists_we_like attire "
        "available_promo_offer_ids awards band_interests band_members best_page bio birthday "
        "booking_agent breaking_news_usage built business can_checkin can_post category "
        "category_list checkins company_overview connected_instagram_account "
        "connected_page_backed_instagram_account contact_address "
        "copyright_attribution_insights copyright_whitelisted_ig_partners country_page_likes "
        "cover culinary_team current_location delivery_and_pickup_option_info description "
        "description_html differently_open_offerings directed_by display_subtext "
        "displayed_message_response_time does_viewer_have_page_permission_link_ig emails "
        "engagement fan_count featured_video features followers_count food_styles founded "
        "general_info general_manager genre global_brand_page_name global_brand_root_id "
        "has_added_app has_lead_access has_transitioned_to_new_page_experience "
        "has_whatsapp_business_number has_whatsapp_number hometown hours id impressum "
        "influences instagram_business_account is_always_open is_calling_eligible is_chain "
        "is_community_page is_eligible_for_branded_content "
        "is_eligible_for_disable_connect_ig_btn_for_non_page_admin_am_web "
        "is_messenger_bot_get_started_enabled is_messenger_platform_bot is_owned "
        "is_permanently_closed is_published is_unclaimed is_verified is_webhooks_subscribed "
        "keywords leadgen_tos_acceptance_time leadgen_tos_accepted leadgen_tos_accepting_user "
        "link location members merchant_id merchant_review_status messaging_feature_status "
        "messenger_ads_default_icebreakers messenger_ads_default_quick_replies "
        "messenger_ads_quick_replies_type mini_shop_storefront mission mpg name "
        "name_with_location_descriptor network new_like_count offer_eligible "
        "overall_star_rating owner_business page_backed_threads_account_id page_token "
        "parent_page parking payment_options personal_info personal_interests "
        "pharma_safety_info phone pickup_options place_type plot_outline preferred_audience "
        "press_contact price_range priority_hours privacy_info_url produced_by products "
        "promotion_eligible promotion_ineligible_reason public_transit rating_count recipient "
        "record_label release_date restaurant_services restaurant_specialties schedule "
        "screenplay_by season single_line_address starring start_info store_code "
        "store_location_descriptor store_number studio supports_donate_button_in_live_video "
        "talking_about_count temporary_status unread_message_count unread_notif_count "
        "unseen_message_count user_access_expire_time username verification_status voip_info "
        "website were_here_count whatsapp_number written_by"
    ),
    "LeadgenForm": (
        "allow_organic_lead block_display_for_non_targeted_viewer context_card created_time "
        "creator expired_leads_count follow_up_action_text follow_up_action_url id "
        "is_optimized_for_quality leads_count legal_content locale name organic_leads_count "
        "page page_id privacy_policy_url question_page_custom_headline questions status "
        "thank_you_page tracking_parameters"
    ),
    "UserLeadGenInfo": (
        "ad_id ad_name adset_id adset_name campaign_id campaign_name created_time "
        "custom_disclaimer_responses field_data form_id home_listing id is_organic "
        "partner_name platform post post_submission_check_result retailer_item_id vehicle"
    ),
    "AdAccount": (
        "account_id account_status ad_account_promotable_objects age "
        "agency_client_declaration all_capabilities amount_spent attribution_spec balance "
        "brand_safety_content_filter_levels business business_city business_country_code "
        "business_name business_state business_street business_street2 business_zip "
        "can_create_brand_lift_study capabilities created_time currency custom_audience_info "
        "default_dsa_beneficiary default_dsa_payor disable_reason end_advertiser "
        "end_advertiser_name existing_customers expired_funding_source_details "
        "extended_credit_invoice_group failed_delivery_checks fb_entity funding_source "
        "funding_source_details has_migrated_permissions has_page_authorized_adaccount id "
        "io_number is_attribution_spec_system_default is_ba_skip_delayed_eligible "
        "is_direct_deals_enabled is_in_3ds_authorization_enabled_market "
        "is_notifications_enabled is_personal is_prepay_account is_tax_id_required "
        "liable_address line_numbers marketing_messages_settings media_agency "
        "min_campaign_group_spend_cap min_daily_budget name offsite_clo_signal_status "
        "offsite_pixels_tos_accepted opportunity_score opportunity_score_weight owner "
        "owner_business partner rf_spec send_bill_to_address show_checkout_experience "
        "sold_to_address spend_cap tax_id tax_id_status tax_id_type timezone_id timezone_name "
        "timezone_offset_hours_utc tos_accepted user_access_expire_time user_tasks "
        "user_tos_accepted viewable_business"
    ),
    "Campaign": (
        "account_id adbatch adlabels advantage_state_info bid_constraints bid_strategy "
        "boosted_object_id brand_lift_studies budget_rebalance_flag budget_remaining "
        "budget_schedule_specs buying_type campaign_group_active_time "
        "can_create_brand_lift_study can_use_spend_cap configured_status created_time "
        "daily_budget effective_status execution_options frequency_control_specs "
        "has_secondary_skadnetwork_reporting id is_adset_budget_sharing_enabled "
        "is_budget_schedule_enabled is_direct_send_campaign is_message_campaign "
        "is_meta_moment_maker_enabled is_pca_unified is_reels_trending_ads_enabled "
        "is_skadnetwork_attribution issues_info iterative_split_test_configs "
        "last_budget_toggling_time lifetime_budget name objective pacing_type "
        "primary_attribution promoted_object recommendations smart_promotion_type "
        "source_campaign source_campaign_id source_recommendation_type special_ad_categories "
        "special_ad_category special_ad_category_country spend_cap start_time status "
        "stop_time topline_id updated_time"
    ),
    "Business": (
        "block_offline_analytics collaborative_ads_managed_partner_business_info "
        "collaborative_ads_managed_partner_eligibility "
        "collaborative_ads_partner_premium_options created_by created_time "
        "extended_updated_time id is_hidden link marketing_messages_onboarding_status name "
        "payment_account_id primary_page profile_picture_uri timezone_id two_factor_type "
        "updated_by updated_time user_access_expire_time verification_status vertical "
        "vertical_id whatsapp_business_manager_messaging_limit"
    ),
}
_EDGES = {
    "Application": (
        "accounts ad_placement_groups adnetwork_placements adnetworkanalytics "
        "adnetworkanalytics_results aem_attribution aem_conversion_configs "
        "aem_conversion_filter agencies android_dialog_configs app_capi_settings "
        "app_event_types app_installed_groups appassets authorized_adaccounts "
        "button_auto_detection_device_selection cloudbridge_settings "
        "connected_client_businesses da_checks iap_purchases ios_dialog_configs "
        "linked_dataset mobile_sdk_gk monetized_digital_store_objects object_types objects "
        "permissions products purchases roles server_domain_infos sgw_dataset_status "
        "sgw_install_deferral_link subscriptions threat_privacy_groups_member "
        "threat_privacy_groups_owner whatsapp_business_solutions"
    ),
    "User": (
        "accounts ad_studies adaccounts albums apprequestformerrecipients apprequests "
        "assigned_ad_accounts assigned_applications assigned_business_asset_groups "
        "assigned_instagram_accounts assigned_pages assigned_product_catalogs "
        "assigned_whatsapp_business_accounts business_users businesses conversations "
        "custom_labels events feed friends fundraisers groups ids_for_apps ids_for_business "
        "ids_for_pages likes live_videos music payment_transactions permissions "
        "personal_ad_accounts photos picture posts rich_media_documents videos"
    ),
    "Page": (
        "ab_tests ads_eligibility ads_posts agencies albums ar_experience assigned_users "
        "blocked businessprojects call_to_actions canvas_elements canvases chat_plugin "
        "commerce_merchant_settings commerce_orders commerce_payouts commerce_transactions "
        "conversations crosspost_whitelisted_pages ctx_optimization_eligibility custom_labels "
        "custom_user_settings dataset events fantasy_games feed global_brand_children "
        "image_copyrights indexed_videos insights instagram_accounts leadgen_forms likes "
        "live_videos locations media_fingerprints message_templates messaging_feature_review "
        "messenger_call_permissions messenger_call_settings messenger_lead_forms "
        "messenger_profile notification_message_tokens page_backed_instagram_accounts "
        "personas photos picture posts product_catalogs published_posts ratings roles "
        "rtb_dynamic_posts scheduled_posts settings shop_setup_status space_participants "
        "store_locations stories subscribed_apps tabs tagged thread_owner threads "
        "video_copyright_rules video_lists video_reels videos visitor_posts "
        "welcome_message_flows"
    ),
    "LeadgenForm": ("leads test_leads"),
    "AdAccount": (
        "account_controls activities ad_place_page_sets ad_saved_keywords ad_studies "
        "adcloudplayables adcreatives adcreativesbylabels adimages adlabels adplayables "
        "adrules_history adrules_library ads ads_reporting_mmm_reports "
        "ads_reporting_mmm_schedulers ads_volume adsbylabels adsets adsetsbylabels adspixels "
        "advertisable_applications advideos affectedadsets agencies applications "
        "assigned_users async_requests asyncadcreatives asyncadrequestsets audience_funnel "
        "broadtargetingcategories businessprojects campaigns campaignsbylabels "
        "connected_instagram_accounts connected_instagram_accounts_with_iabp conversion_goals "
        "customaudiences customaudiencestos customconversions delivery_estimate "
        "deprecatedtargetingadsets dsa_recommendations generatepreviews impacting_ad_studies "
        "insights instagram_accounts ios_fourteen_campaign_limits matched_search_applications "
        "max_bid mcmeconversions message_delivery_estimate minimum_budgets onbehalf_requests "
        "promote_pages publisher_block_lists reachestimate reachfrequencypredictions "
        "recommendations saved_audiences subscribed_apps targetingbrowse targetingsearch "
        "targetingsentencelines targetingsuggestions targetingvalidation tracking users "
        "value_rule_set video_ads"
    ),
    "Campaign": ("ad_studies adrules_governed ads adsets budget_schedules copies insights"),
    "Business": (
        "ad_account_infos ad_custom_derived_metrics ad_studies adnetworkanalytics "
        "adnetworkanalytics_results ads_dataset ads_reporting_mmm_reports "
        "ads_reporting_mmm_schedulers adspixels agencies an_placements business_asset_groups "
        "business_invoices business_users businessprojects client_ad_accounts client_apps "
        "client_instagram_assets client_offsite_signal_container_business_objects "
        "client_pages client_pixels client_product_catalogs client_whatsapp_business_accounts "
        "clients collaborative_ads_collaboration_requests "
        "collaborative_ads_suggested_partners commerce_merchant_settings "
        "cpas_business_setup_config cpas_merchant_config creditcards event_source_groups "
        "extendedcreditapplications extendedcredits initiated_audience_sharing_requests "
        "instagram_accounts instagram_business_accounts "
        "managed_partner_ads_funding_source_details openbridge_configurations "
        "owned_ad_accounts owned_apps owned_businesses owned_instagram_accounts "
        "owned_instagram_assets owned_offsite_signal_container_business_objects owned_pages "
        "owned_pixels owned_product_catalogs owned_whatsapp_business_accounts "
        "partner_account_linking pending_client_ad_accounts pending_client_apps "
        "pending_client_pages pending_owned_ad_accounts pending_owned_pages "
        "pending_shared_offsite_signal_container_business_objects pending_users picture "
        "preverified_numbers received_audience_sharing_requests reseller_guidances "
        "self_certified_whatsapp_business_submissions system_users "
        "third_party_measurement_report_dataset"
    ),
}

KNOWN_FIELDS = {kind: frozenset(names.split()) for kind, names in _FIELDS.items()}
"""The fields of each node type."""

KNOWN_EDGES = frozenset(name for names in _EDGES.values() for name in names.split())
"""The edges that some node type has."""
